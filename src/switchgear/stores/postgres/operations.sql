-- One operation on one circuit; the answer is its view.
create or replace function {table}_apply_{code}(circuit text, op jsonb) returns jsonb language plpgsql as $$
declare
  kind text := op->>'op';
  c {table}_v1;
  found_as {table}_v1;
  now_ms bigint;
  known jsonb := op->'known';
  width bigint;
  buckets_asked bigint;
  span bigint;
  changed text := '';
  result text := '';
  peak bigint := 0;
  reporter jsonb;
  deltas jsonb := coalesce(op->'deltas', '[]');
  run_head bigint := coalesce((op->'run'->>0)::bigint, 0);
  run_best bigint := coalesce((op->'run'->>1)::bigint, 0);
  run_tail bigint := coalesce((op->'run'->>2)::bigint, 0);
  run_ended bigint := coalesce((op->'run'->>3)::bigint, 0);
  calls bigint;
  failures bigint := 0;
  target jsonb;
  held jsonb;
  view jsonb;
  reached bigint;
  added bigint;
begin
  loop
    select * into c from {table}_v1 t where t.key = circuit for update;
    exit when found;
    if kind = 'get' and known is null then -- to look creates nothing
      c := jsonb_populate_record(null::{table}_v1, '{"generation": 1, "change": "", "state": "closed", "since": 0,
        "until": 0, "open_ms": 0, "rounds": 0, "why": "", "override": "", "override_until": 0, "override_author": "",
        "override_reason": "", "policy": "", "run": 0, "successes": 0, "last_failure_at": 0, "last_failure": "",
        "bucket_ms": 0, "buckets": 0, "era": 0, "runs": 0, "orders": "", "written": 0, "slots": {}, "leases": {},
        "reporters": {}}');
      exit;
    end if;
    insert into {table}_v1 (key) values (circuit) on conflict do nothing;
  end loop;
  found_as := c;
  -- The clock is read when the row is ours: now() would be as old as the wait for it.
  now_ms := floor(extract(epoch from clock_timestamp()) * 1000);
  width := coalesce((op->'window'->>0)::bigint, c.bucket_ms);
  buckets_asked := coalesce((op->'window'->>1)::bigint, c.buckets);
  span := width * buckets_asked;

  -- What time and the sender's knowledge have changed comes first: the operation must see it.
  if c.written > 0 and now_ms < c.written - 1000 then
    c := {table}_shift_{code}(c, now_ms - c.written);
  end if;
  if (known->>'generation')::bigint > c.generation then
    c.generation := (known->>'generation')::bigint - 1;
    c := {table}_move_{code}(
      c, known->>'state', known->>'change', known->>'why',
      case when known->>'state' = 'open' then (known->>'remaining_ms')::bigint end,
      coalesce((known->>'rounds')::bigint, 0), now_ms);
    c.open_ms := coalesce((known->>'open_ms')::bigint, 0);
    c := {table}_override_{code}(
      c, coalesce(known->>'override', ''), (known->>'override_ms')::bigint, known->>'override_author',
      known->>'override_reason', now_ms);
    changed := 'restored';
  end if;
  if c.override <> '' and c.override_until > 0 and c.override_until <= now_ms then
    c := {table}_lift_{code}(c, 'expiry', 'the override expired', now_ms);
    changed := 'override-expired';
  end if;

  reporter := coalesce(c.reporters->(op->>'reporter'), '[0,0,0,0,0,0,0,0,0,0,0,0,0]');
  case kind
  when 'get' then
    null;

  when 'hello' then
    reporter := jsonb_set(reporter, '{1}', to_jsonb(now_ms));
    if (reporter->>2)::int = 2 then reporter := jsonb_set(reporter, '{2}', '0'); end if;
    c.reporters := c.reporters || jsonb_build_object(op->>'reporter', reporter);
    c.policy := coalesce(op->>'policy', c.policy);
    c.bucket_ms := width;
    c.buckets := buckets_asked;

  when 'goodbye' then
    if c.reporters ? (op->>'reporter') then
      c.reporters := c.reporters || jsonb_build_object(op->>'reporter', jsonb_set(reporter, '{2}', '2'));
    end if;

  when 'flush' then
    if (op->>'number')::bigint <= (reporter->>0)::bigint then
      result := 'duplicate';
      peak := (reporter->>3)::bigint;
    else
      result := 'late';
      select coalesce(sum((d->>1)::bigint), 0), coalesce(sum((d->>2)::bigint), 0) into calls, failures
        from jsonb_array_elements(deltas) d;
      if calls > 0 then
        reporter := jsonb_set(reporter, '{1}', to_jsonb(now_ms));
        if (reporter->>2)::int = 2 then reporter := jsonb_set(reporter, '{2}', '0'); end if;
      end if;
      if failures > 0 then
        c.last_failure_at := now_ms;
        c.last_failure := coalesce(op->>'last_failure', '');
      end if;
      if (op->>'generation')::bigint in (0, c.generation) and c.state = 'closed' then
        result := 'counted';
        if c.buckets = 0 then
          c.bucket_ms := width;
          c.buckets := buckets_asked;
        end if;
        c.successes := c.successes + calls - failures;
        peak := greatest(c.run + run_head, run_best);
        c.run := case when run_ended = 1 then run_tail else c.run + run_tail end;
        c.runs := c.runs + run_ended;
        if buckets_asked > 0 then c.slots := {table}_counted_{code}(c, deltas, width, now_ms); end if;
        reporter := {table}_reported_{code}(
          c, reporter, deltas, run_tail, case when (op->>'overlay')::boolean then 1 else 0 end, span, now_ms);
      elsif (op->>'generation')::bigint = 0 and c.state = 'half-open' and calls > failures then
        c.successes := c.successes + calls - failures;
        c.run := 0;
      end if;
      reporter := jsonb_set(jsonb_set(reporter, '{0}', op->'number'), '{3}', to_jsonb(peak));
      c.reporters := c.reporters || jsonb_build_object(op->>'reporter', reporter);
    end if;

  when 'transition' then
    target := op->'move';
    if c.change = target->>'token'
      or (op->>'expected')::bigint = 0 and target->>'token' = any (string_to_array(c.orders, ' '))
    then
      result := 'won';
    elsif (op->>'expected')::bigint <> 0 and ((op->>'expected')::bigint <> c.generation or c.override <> '') then
      result := 'lost';
    else
      if (op->>'expected')::bigint = 0 then
        c.orders := {table}_ordered_{code}(c.orders, target->>'token');
        c := {table}_override_{code}(c, '', null, null, null, now_ms);
      end if;
      result := 'won';
      changed := 'transition';
      c := {table}_move_{code}(
        c, target->>'to', target->>'token', target->>'why', (target->>'open_ms')::bigint, (target->>'rounds')::bigint,
        now_ms);
    end if;

  when 'override' then
    result := 'won';
    if op->>'token' <> all (string_to_array(c.orders, ' ')) then
      c.orders := {table}_ordered_{code}(c.orders, op->>'token');
      if op->>'to' <> '' then
        changed := 'override';
        c := {table}_move_{code}(
          c, case when op->>'to' = 'forced-open' then 'open' else 'closed' end, op->>'token', op->>'why', 0, 0, now_ms);
        c := {table}_override_{code}(
          c, op->>'to', (op->>'expires_ms')::bigint, op->>'author', op->>'reason', now_ms);
      elsif c.override <> '' then
        changed := 'override';
        c := {table}_lift_{code}(c, op->>'token', op->>'why', now_ms);
      end if;
    end if;

  when 'reset' then
    result := 'won';
    if op->>'token' <> all (string_to_array(c.orders, ' ')) then
      c.orders := {table}_ordered_{code}(c.orders, op->>'token');
      changed := 'reset';
      c := {table}_override_{code}(c, '', null, null, null, now_ms);
      c := {table}_move_{code}(c, 'closed', op->>'token', op->>'why', 0, 0, now_ms);
      c.last_failure_at := 0;
      c.last_failure := '';
    end if;

  when 'lease' then
    held := c.leases->(op->>'token');
    if c.override = 'forced-open' then
      result := 'refused';
    elsif c.state = 'closed' then
      result := 'pass';
    elsif (held->>0)::bigint > now_ms and (held->>1)::bigint = c.generation then
      result := 'granted';
    else
      c.leases := c.leases - (op->>'token');
      if c.state = 'open'
          and now_ms < coalesce(nullif(c.until, 0), c.since + coalesce((op->>'open_ms')::bigint, 0))
        or (select count(*) from jsonb_each(c.leases) x where (x.value->>0)::bigint > now_ms) >= (op->>'limit')::bigint
      then
        result := 'refused';
      else
        result := 'granted';
        if c.state = 'open' then
          changed := 'transition';
          c := {table}_move_{code}(c, 'half-open', op->>'token', 'the open time is over', null, null, now_ms);
        end if;
        c.leases := c.leases || jsonb_build_object(
          op->>'token', jsonb_build_array(now_ms + (op->>'ttl_ms')::bigint, c.generation));
      end if;
    end if;

  when 'settle' then
    target := op->'then';
    if c.change = target->>'token' then
      result := 'settled';
    else
      result := 'late';
      reporter := jsonb_set(reporter, '{1}', to_jsonb(now_ms));
      if (reporter->>2)::int = 2 then reporter := jsonb_set(reporter, '{2}', '0'); end if;
      c.reporters := c.reporters || jsonb_build_object(op->>'reporter', reporter);
      held := c.leases->(op->>'token');
      c.leases := c.leases - (op->>'token');
      if (held->>0)::bigint > now_ms and c.state = 'half-open'
        and (held->>1)::bigint = c.generation and (op->>'generation')::bigint = c.generation
      then
        result := 'settled';
        if op->>'outcome' = 'success' then
          c.successes := c.successes + 1;
        elsif op->>'outcome' = 'failure' then
          c.last_failure_at := now_ms;
          c.last_failure := coalesce(op->>'last_failure', '');
        end if;
        if target is not null then
          changed := 'transition';
          c := {table}_move_{code}(
            c, target->>'to', target->>'token', target->>'why', (target->>'open_ms')::bigint,
            (target->>'rounds')::bigint, now_ms);
        end if;
      end if;
    end if;

  else
    raise exception 'unknown operation %', kind;
  end case;

  view := to_jsonb(c) - array['key', 'era', 'runs', 'orders', 'written', 'slots', 'leases', 'reporters', 'changed_at']
    || {table}_evidence_{code}(c, width, buckets_asked, now_ms)
    || jsonb_build_object(
      'now', now_ms, 'bucket_ms', width, 'buckets', buckets_asked, 'peak', peak, 'result', result, 'changed', changed);
  if c is not distinct from found_as then
    return view;
  end if;

  c := {table}_tidy_{code}(c, span, now_ms);
  update {table}_v1 t set
    generation = c.generation, change = c.change, state = c.state, since = c.since, until = c.until,
    open_ms = c.open_ms, rounds = c.rounds, why = c.why, override = c.override, override_until = c.override_until,
    override_author = c.override_author, override_reason = c.override_reason, policy = c.policy, run = c.run,
    successes = c.successes, last_failure_at = c.last_failure_at, last_failure = c.last_failure,
    bucket_ms = c.bucket_ms, buckets = c.buckets, era = c.era, runs = c.runs, orders = c.orders, written = c.written,
    slots = c.slots, leases = c.leases, reporters = c.reporters,
    changed_at = case when changed = '' then t.changed_at else clock_timestamp() end
    where t.key = circuit;

  -- NOTIFY takes a lock on the whole database at commit: for changes, and for a flush that reaches an alarm.
  reached := case when buckets_asked > 0 then (view->>'failures')::bigint else c.run end;
  added := case when buckets_asked > 0 then failures else run_tail end;
  if changed <> '' then
    perform {table}_tell_{code}(circuit, view, nextval('{table}_feed_v1'));
  elsif result = 'counted' and added > 0 and exists (
    select from jsonb_array_elements_text(op->'alarms') x where x::bigint <= reached and x::bigint > reached - added)
  then
    perform {table}_tell_{code}(circuit, view, null);
  end if;
  return view;
end $$;

-- A payload has less than 8000 bytes; where one would not fit, its number alone tells that something has changed.
create or replace function {table}_tell_{code}(circuit text, view jsonb, number bigint) returns void
language plpgsql as $$
declare
  payload text := jsonb_build_object('key', circuit, 'view', view, 'number', number);
begin
  if octet_length(payload) > 7900 then payload := jsonb_build_object('number', number); end if;
  perform pg_notify('{channel}', payload);
end $$;

-- [[key, operation], ...] -> [view, ...]. The sender sorts by key: one order of locks for all, so no deadlock.
create or replace function {table}_batch_{code}(operations jsonb) returns jsonb language plpgsql as $$
declare
  item jsonb;
  view jsonb;
  views jsonb := '[]';
  decided boolean := false;
begin
  perform set_config('lock_timeout', '500ms', true);
  -- Otherwise a session plans each expression anew five times: milliseconds, in which it holds the row.
  perform set_config('plan_cache_mode', 'force_generic_plan', true);
  for item in select value from jsonb_array_elements(operations) loop
    view := {table}_apply_{code}(item->>0, item->1);
    decided := decided or view->>'changed' <> '';
    views := views || jsonb_build_array(view);
  end loop;
  -- Counts and leases need not wait for the disk; a crash may cost the last half second of them, never a decision.
  if not decided then perform set_config('synchronous_commit', 'off', true); end if;
  return views;
end $$;

-- Views of what has changed since `after` (server milliseconds; null: none), this moment, and when the server started.
create or replace function {table}_changes_{code}(after bigint) returns jsonb language sql as $$
  select jsonb_build_object(
    'now', floor(extract(epoch from clock_timestamp()) * 1000)::bigint,
    'started', pg_postmaster_start_time(),
    'views', coalesce(jsonb_agg(jsonb_build_array(t.key, {table}_apply_{code}(t.key, '{"op": "get"}'))), '[]'))
  from (select key from {table}_v1 where changed_at > to_timestamp(after / 1000.0) order by key limit 1000) t
$$;

-- Rows of idle circuits. An open one must not close by being forgotten: it counts as idle from the end of its time.
create or replace function {table}_prune_{code}(idle_ms bigint) returns bigint language sql as $$
  with idle as (
    select c.key from {table}_v1 c, (select floor(extract(epoch from clock_timestamp()) * 1000) as now_ms) clock
    where c.override = '' and (c.state <> 'open' or c.until > 0)
      and greatest(c.written, c.until) < now_ms - greatest(idle_ms, 2 * c.bucket_ms * c.buckets)
      and not exists (select from jsonb_each(c.leases) x where (x.value->>0)::bigint > now_ms)
    limit 1000 for update of c skip locked
  ), gone as (
    delete from {table}_v1 c using idle where c.key = idle.key returning 1
  )
  select count(*) from gone
$$;
