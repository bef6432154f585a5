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
create or replace function {table}_evidence_{code}(c {table}_v1, width bigint, buckets bigint, now_ms bigint)
returns jsonb language plpgsql immutable as $$
begin
  return (
    with asked as (
      select width * buckets as span, greatest(width * buckets, 1) as divisor,
             case when buckets = 0 then c.runs else now_ms / (width * buckets) end as epoch
    ), live as (
      select x.value as r, span, divisor, divisor - now_ms % divisor as remaining,
             (x.value->>4)::bigint = c.era and (x.value->>5)::bigint = span and (x.value->>6)::bigint = epoch as fresh,
             (x.value->>4)::bigint = c.era and (x.value->>5)::bigint = span and (x.value->>6)::bigint = epoch - 1
               and span > 0 as aged
      from jsonb_each(c.reporters) x, asked
      where (x.value->>2)::int <> 2 and now_ms - (x.value->>1)::bigint <= 60000
    ), parts as (
      select (r->>2)::int = 1 and (r->>4)::bigint = c.era as overlay, span, divisor, remaining,
             case when fresh then (r->>7)::bigint else 0 end as calls,
             case when fresh then (r->>8)::bigint else 0 end as failures,
             case when fresh then (r->>9)::bigint else 0 end as slow,
             case when span = 0 then 0 when fresh then (r->>10)::bigint
                  when aged then (r->>7)::bigint else 0 end as old_calls,
             case when span = 0 then 0 when fresh then (r->>11)::bigint
                  when aged then (r->>8)::bigint else 0 end as old_failures,
             case when span = 0 then 0 when fresh then (r->>12)::bigint
                  when aged then (r->>9)::bigint else 0 end as old_slow
      from live
    ), totals as (
      select overlay, calls + (old_calls * remaining + divisor - 1) / divisor as calls,
             failures + (old_failures * remaining + divisor - 1) / divisor as failures,
             slow + (old_slow * remaining + divisor - 1) / divisor as slow
      from parts
    ), ranked as (
      select *, row_number() over (order by failures desc, calls) as by_failures,
             row_number() over (order by slow desc, calls) as by_slow, (count(*) over () + 7) / 8 as eighth
      from totals
    ), fleet as (
      select count(*) as live, count(*) filter (where overlay) as overlays,
             coalesce(sum(calls) filter (where by_failures > eighth or failures = 0), 0) as rest_calls,
             coalesce(sum(failures) filter (where by_failures > eighth or failures = 0), 0) as rest_failures,
             coalesce(sum(calls) filter (where by_slow > eighth or slow = 0), 0) as rest_slow_calls,
             coalesce(sum(slow) filter (where by_slow > eighth or slow = 0), 0) as rest_slow
      from ranked
    ), inside as (
      select coalesce(sum((x.value->>2)::bigint), 0) as calls, coalesce(sum((x.value->>3)::bigint), 0) as failures,
             coalesce(sum((x.value->>4)::bigint), 0) as slow
      from jsonb_each(c.slots) x
      where buckets > 0 and split_part(x.key, ':', 1) = width::text and (x.value->>0)::bigint = c.era
        and (x.value->>1)::bigint <= now_ms / nullif(width, 0)
        and (x.value->>1)::bigint > now_ms / nullif(width, 0) - buckets
    ), probes as (
      select count(*) as leases, coalesce(min((x.value->>0)::bigint), 0) as next_lease_end
      from jsonb_each(c.leases) x where (x.value->>0)::bigint > now_ms
    )
    select to_jsonb(fleet) || to_jsonb(inside) || to_jsonb(probes) from fleet, inside, probes
  );
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
