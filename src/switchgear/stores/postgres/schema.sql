-- Circuits shared through PostgreSQL (13 or newer), layout 1. `{table}` is the store's table option.
-- Every name carries the layout's version: another layout gets names of its own beside these, and processes of both
-- run at once. The same steps in the same order as the Python reference (record.py, mechanism.py); no threshold is
-- compared here.

create table if not exists {table}_v1 (
  key text primary key,
  generation bigint not null default 1,
  change text not null default '',
  state text not null default 'closed',
  since bigint not null default 0,
  until bigint not null default 0,
  open_ms bigint not null default 0,
  rounds bigint not null default 0,
  why text not null default '',
  override text not null default '',
  override_until bigint not null default 0,
  override_author text not null default '',
  override_reason text not null default '',
  policy text not null default '',
  run bigint not null default 0,
  successes bigint not null default 0,
  last_failure_at bigint not null default 0,
  last_failure text not null default '',
  bucket_ms bigint not null default 0,
  buckets bigint not null default 0,
  era bigint not null default 0,
  runs bigint not null default 0,
  written bigint not null default 0,
  slots jsonb not null default '{}',     -- "bucket_ms:slot": [era, bucket, calls, failures, slow]
  leases jsonb not null default '{}',    -- token: [expires, generation]
  reporters jsonb not null default '{}', -- name: see {table}_reported_{code}
  changed_at timestamptz not null default clock_timestamp()
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 200);

-- Only changes of state touch the indexed column: flushes stay HOT updates, in the page's free half.
create index if not exists {index}_v1_changed on {table}_v1 (changed_at);
create sequence if not exists {table}_feed_v1;

-- What a later release adds to the layout; functions of an earlier one do not look at it.
alter table {table}_v1 add column if not exists orders text not null default ''; -- tokens of unconditional changes

create or replace function {table}_move_{code}(
  c {table}_v1, target text, token text, reason text, open_for bigint, failed_rounds bigint, now_ms bigint
) returns {table}_v1 language plpgsql immutable as $$
begin
  c.generation := c.generation + 1;
  c.change := token;
  c.state := target;
  c.why := coalesce(reason, '');
  c.since := now_ms;
  c.until := case when target = 'open' and open_for is not null then now_ms + open_for else 0 end;
  c.open_ms := coalesce(open_for, c.open_ms);
  c.rounds := coalesce(failed_rounds, c.rounds);
  c.successes := 0;
  if target = 'closed' then
    c.run := 0;
    c.era := c.era + 1;
  end if;
  return c;
end $$;

-- Nothing fences an unconditional change by generation: its token is remembered, for a retry to be known.
create or replace function {table}_ordered_{code}(orders text, token text) returns text
language sql immutable as $$
  select array_to_string(kept[greatest(1, cardinality(kept) - 7):], ' ')
  from (select string_to_array(orders, ' ') || token as kept) all_of_them
$$;

create or replace function {table}_override_{code}(
  c {table}_v1, target text, expires_ms bigint, author text, reason text, now_ms bigint
) returns {table}_v1 language plpgsql immutable as $$
begin
  c.override := target;
  c.override_until := coalesce(now_ms + expires_ms, 0);
  c.override_author := coalesce(author, '');
  c.override_reason := coalesce(reason, '');
  return c;
end $$;

create or replace function {table}_lift_{code}(c {table}_v1, token text, reason text, now_ms bigint)
returns {table}_v1 language plpgsql immutable as $$
declare
  target text := case when c.override = 'forced-open' then 'open' else 'closed' end;
begin
  c := {table}_override_{code}(c, '', null, null, null, now_ms);
  return {table}_move_{code}(c, target, token, reason, 0, 0, now_ms);
end $$;

-- The server's clock has gone back: every deadline moves with it, and what lies in which bucket nobody knows any more.
create or replace function {table}_shift_{code}(c {table}_v1, shift bigint)
returns {table}_v1 language plpgsql immutable as $$
begin
  c.since := case when c.since = 0 then 0 else c.since + shift end;
  c.until := case when c.until = 0 then 0 else c.until + shift end;
  c.override_until := case when c.override_until = 0 then 0 else c.override_until + shift end;
  c.last_failure_at := case when c.last_failure_at = 0 then 0 else c.last_failure_at + shift end;
  select coalesce(jsonb_object_agg(x.key, jsonb_set(x.value, '{0}', to_jsonb((x.value->>0)::bigint + shift))), '{}')
    into c.leases from jsonb_each(c.leases) x;
  select coalesce(jsonb_object_agg(x.key, jsonb_set(x.value, '{1}', to_jsonb((x.value->>1)::bigint + shift))), '{}')
    into c.reporters from jsonb_each(c.reporters) x;
  c.era := c.era + 1;
  return c;
end $$;

-- Deltas counted into the window's ring. A bucket whose slot a newer one has taken is too old to matter.
create or replace function {table}_counted_{code}(c {table}_v1, deltas jsonb, width bigint, now_ms bigint)
returns jsonb language plpgsql immutable as $$
declare
  slots jsonb := c.slots;
  delta jsonb;
  bucket bigint;
  place text;
  slot jsonb;
begin
  for delta in select value from jsonb_array_elements(deltas) loop
    bucket := (now_ms - (delta->>0)::bigint) / width;
    place := width || ':' || bucket % 32;
    slot := slots->place;
    if slot is null or (slot->>0)::bigint <> c.era or (slot->>1)::bigint < bucket then
      slot := jsonb_build_array(c.era, bucket, 0, 0, 0);
    end if;
    if (slot->>1)::bigint = bucket then
      slots := slots || jsonb_build_object(place, jsonb_build_array(
        c.era, bucket, (slot->>2)::bigint + (delta->>1)::bigint, (slot->>3)::bigint + (delta->>2)::bigint,
        (slot->>4)::bigint + (delta->>3)::bigint));
    end if;
  end loop;
  return slots;
end $$;

-- A reporter's own counts after a flush: those of this window's length and of the one before, or of the run.
-- [number, active, mark (1: overlay, 2: left), peak, era, span_ms, epoch, then twice calls, failures, slow]
create or replace function {table}_reported_{code}(
  c {table}_v1, reporter jsonb, deltas jsonb, run_tail bigint, mark int, span bigint, now_ms bigint
) returns jsonb language plpgsql immutable as $$
declare
  epoch bigint := case when span = 0 then c.runs else now_ms / span end;
  same boolean := (reporter->>4)::bigint = c.era and (reporter->>5)::bigint = span;
  here bigint[] := '{0,0,0}';
  before bigint[] := '{0,0,0}';
  delta jsonb;
  at bigint;
begin
  if same and (reporter->>6)::bigint = epoch then
    here := array[(reporter->>7)::bigint, (reporter->>8)::bigint, (reporter->>9)::bigint];
    before := array[(reporter->>10)::bigint, (reporter->>11)::bigint, (reporter->>12)::bigint];
  elsif same and span > 0 and (reporter->>6)::bigint = epoch - 1 then
    before := array[(reporter->>7)::bigint, (reporter->>8)::bigint, (reporter->>9)::bigint];
  end if;
  if span = 0 then
    here := array[here[1] + run_tail, here[2] + run_tail, here[3]];
  else
    for delta in select value from jsonb_array_elements(deltas) loop
      at := (now_ms - (delta->>0)::bigint) / span;
      if at = epoch then
        here := array[here[1] + (delta->>1)::bigint, here[2] + (delta->>2)::bigint, here[3] + (delta->>3)::bigint];
      elsif at = epoch - 1 then
        before := array[
          before[1] + (delta->>1)::bigint, before[2] + (delta->>2)::bigint, before[3] + (delta->>3)::bigint];
      end if;
    end loop;
  end if;
  return jsonb_build_array(
    (reporter->>0)::bigint, (reporter->>1)::bigint, mark, (reporter->>3)::bigint, c.era, span, epoch,
    here[1], here[2], here[3], before[1], before[2], before[3]);
end $$;

-- The evidence of the view: the window's totals, the leases alive, and the live reporters without the largest eighth.
-- Every operation comes here with the row locked, hence a loop: of what one query would take, planning and starting it
-- is the most.
create or replace function {table}_evidence_{code}(c {table}_v1, width bigint, buckets bigint, now_ms bigint)
returns jsonb language plpgsql immutable as $$
declare
  span bigint := width * buckets;
  divisor bigint := greatest(span, 1);
  remaining bigint := divisor - now_ms % divisor;
  epoch bigint := case when buckets = 0 then c.runs else now_ms / divisor end;
  r jsonb;
  n bigint;
  f bigint;
  s bigint;
  live bigint := 0;
  overlays bigint := 0;
  totals bigint[] := '{0,0,0}';
  each_n bigint[] := '{}';
  each_f bigint[] := '{}';
  each_s bigint[] := '{}';
  worst bigint[] := '{0,0}';   -- calls and failures of the largest eighth by failures
  slowest bigint[] := '{0,0}'; -- calls and slow ones of the largest eighth by slow ones
  inside bigint[] := '{0,0,0}';
  leases bigint := 0;
  next_lease_end bigint := 0;
begin
  for r in select value from jsonb_each(c.reporters) loop
    continue when (r->>2)::int = 2 or now_ms - (r->>1)::bigint > 60000;
    live := live + 1;
    n := 0;
    f := 0;
    s := 0;
    if (r->>4)::bigint = c.era then
      if (r->>2)::int = 1 then overlays := overlays + 1; end if;
      if (r->>5)::bigint <> span then
        null; -- of another window
      elsif (r->>6)::bigint = epoch then
        n := (r->>7)::bigint;
        f := (r->>8)::bigint;
        s := (r->>9)::bigint;
        if span > 0 then
          n := n + ((r->>10)::bigint * remaining + divisor - 1) / divisor;
          f := f + ((r->>11)::bigint * remaining + divisor - 1) / divisor;
          s := s + ((r->>12)::bigint * remaining + divisor - 1) / divisor;
        end if;
      elsif span > 0 and (r->>6)::bigint = epoch - 1 then
        n := ((r->>7)::bigint * remaining + divisor - 1) / divisor;
        f := ((r->>8)::bigint * remaining + divisor - 1) / divisor;
        s := ((r->>9)::bigint * remaining + divisor - 1) / divisor;
      end if;
    end if;
    totals := array[totals[1] + n, totals[2] + f, totals[3] + s];
    each_n := each_n || n;
    each_f := each_f || f;
    each_s := each_s || s;
    if f > worst[2] or f > 0 and f = worst[2] and n < worst[1] then worst := array[n, f]; end if;
    if s > slowest[2] or s > 0 and s = slowest[2] and n < slowest[1] then slowest := array[n, s]; end if;
  end loop;
  if live > 8 then -- an eighth of them is more than one
    select array[coalesce(sum(x.calls), 0), coalesce(sum(x.failures), 0)] into worst from (
      select * from unnest(each_n, each_f) u(calls, failures) where failures > 0
      order by failures desc, calls limit (live + 7) / 8) x;
    select array[coalesce(sum(x.calls), 0), coalesce(sum(x.slow), 0)] into slowest from (
      select * from unnest(each_n, each_s) u(calls, slow) where slow > 0
      order by slow desc, calls limit (live + 7) / 8) x;
  end if;
  if buckets > 0 then
    select array[coalesce(sum((x.value->>2)::bigint), 0), coalesce(sum((x.value->>3)::bigint), 0),
                 coalesce(sum((x.value->>4)::bigint), 0)]
      into inside from jsonb_each(c.slots) x
      where split_part(x.key, ':', 1) = width::text and (x.value->>0)::bigint = c.era
        and (x.value->>1)::bigint <= now_ms / width and (x.value->>1)::bigint > now_ms / width - buckets;
  end if;
  if c.leases <> '{}' then
    select count(*), coalesce(min((x.value->>0)::bigint), 0) into leases, next_lease_end
      from jsonb_each(c.leases) x where (x.value->>0)::bigint > now_ms;
  end if;
  return jsonb_build_object(
    'live', live, 'overlays', overlays,
    'rest_calls', totals[1] - worst[1], 'rest_failures', totals[2] - worst[2],
    'rest_slow_calls', totals[1] - slowest[1], 'rest_slow', totals[3] - slowest[2],
    'calls', inside[1], 'failures', inside[2], 'slow', inside[3],
    'leases', leases, 'next_lease_end', next_lease_end);
end $$;

-- What is written anyway is rid, about once a second, of what nobody can need any more.
create or replace function {table}_tidy_{code}(c {table}_v1, span bigint, now_ms bigint)
returns {table}_v1 language plpgsql immutable as $$
declare
  due boolean := now_ms / 1000 <> c.written / 1000 or (select count(*) from jsonb_object_keys(c.reporters)) > 256;
begin
  c.written := now_ms;
  if not due then return c; end if;
  select coalesce(jsonb_object_agg(x.key, x.value), '{}') into c.leases
    from jsonb_each(c.leases) x where (x.value->>0)::bigint > now_ms;
  select coalesce(jsonb_object_agg(x.key, x.value), '{}') into c.slots
    from jsonb_each(c.slots) x where ((x.value->>1)::bigint + 32) * split_part(x.key, ':', 1)::bigint > now_ms;
  select coalesce(jsonb_object_agg(kept.key, kept.value), '{}') into c.reporters from (
    select x.key, x.value from jsonb_each(c.reporters) x
    where now_ms - (x.value->>1)::bigint <= greatest(300000, 2 * span)
    order by (x.value->>1)::bigint desc, x.key collate "C" limit 256) kept;
  return c;
end $$;
