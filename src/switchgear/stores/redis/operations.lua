-- ---- before the operation ----

local shift = now - record.written
if record.written > 0 and shift < -CLOCK_SLACK_MS then
  for _, name in ipairs({'since', 'until', 'override_until', 'last_failure_at'}) do
    if record[name] ~= 0 then set(name, record[name] + shift) end
  end
  for token, lease in pairs(leases) do set_lease(token, {lease[1] + shift, lease[2]}) end
  for name, reporter in pairs(reporters) do
    reporter[ACTIVE] = reporter[ACTIVE] + shift
    set_reporter(name, reporter)
  end
  set('era', record.era + 1)
end

local known = op.known
if known and known.generation > record.generation then
  set('generation', known.generation - 1)
  local remaining = known.state == 'open' and known.remaining_ms or nil
  move(known.state, known.change, known.why, remaining, known.rounds or 0, 'restored')
  set('open_ms', known.open_ms or 0)
  put_override(known.override or '', known.override_ms, known.override_author, known.override_reason)
end

if record.override ~= '' and record.override_until > 0 and record.override_until <= now then
  lift('expiry', 'the override expired', 'override-expired')
end

-- ---- operations ----

local function alive()
  local count, first = 0, 0
  for _, lease in pairs(leases) do
    if lease[1] > now then
      count = count + 1
      if first == 0 or lease[1] < first then first = lease[1] end
    end
  end
  return count, first
end

local operations = {}

function operations.hello()
  set_reporter(op.reporter, seen(reporters[op.reporter] or new_reporter()))
  if op.policy then set('policy', op.policy) end
  set('bucket_ms', width)
  set('buckets', buckets)
  return ''
end

function operations.goodbye()
  local reporter = reporters[op.reporter]
  if reporter then
    reporter[MARK] = LEFT
    set_reporter(op.reporter, reporter)
  end
  return ''
end

function operations.get() return '' end

local function count(reporter, deltas, run, successes)
  if record.buckets == 0 then
    set('bucket_ms', width)
    set('buckets', buckets)
  end
  set('successes', record.successes + successes)
  peak = math.max(record.run + run[1], run[2])
  set('run', run[4] == 1 and run[3] or record.run + run[3])
  set('runs', record.runs + run[4])
  if buckets > 0 then
    for _, delta in ipairs(deltas) do add(delta[1], delta[2], delta[3], delta[4]) end
  end
  add_flush(reporter, deltas, run)
  reporter[MARK] = op.overlay and OVERLAY or REPORTING
end

function operations.flush()
  local reporter = reporters[op.reporter] or new_reporter()
  if op.number <= reporter[NUMBER] then
    peak = reporter[PEAK]
    return 'duplicate'
  end
  local deltas, run, calls, failures = op.deltas or {}, op.run or {0, 0, 0, 0}, 0, 0
  for _, delta in ipairs(deltas) do calls, failures = calls + delta[2], failures + delta[3] end
  if calls > 0 then seen(reporter) end
  if failures > 0 then fail(op.last_failure) end
  local outcome = 'late'
  if (op.generation == 0 or op.generation == record.generation) and record.state == 'closed' then
    count(reporter, deltas, run, calls - failures)
    outcome = 'counted'
  elseif op.generation == 0 and record.state == 'half-open' and calls > failures then
    set('successes', record.successes + calls - failures)
    set('run', 0)
  end
  reporter[NUMBER], reporter[PEAK] = op.number, peak
  set_reporter(op.reporter, reporter)
  return outcome
end

function operations.transition()
  local to = op.move
  if record.change == to.token then return 'won' end
  if op.expected ~= 0 then
    if op.expected ~= record.generation or record.override ~= '' then return 'lost' end
  elseif obeyed(to.token) then
    return 'won'
  else
    put_override('')
  end
  move(to.to, to.token, to.why, to.open_ms, to.rounds)
  return 'won'
end

function operations.override()
  if obeyed(op.token) then return 'won' end
  if op.to ~= '' then
    move(op.to == 'forced-open' and 'open' or 'closed', op.token, op.why, 0, 0, 'override')
    put_override(op.to, op.expires_ms, op.author, op.reason)
  elseif record.override ~= '' then
    lift(op.token, op.why, 'override')
  end
  return 'won'
end

function operations.reset()
  if not obeyed(op.token) then
    put_override('')
    move('closed', op.token, op.why, 0, 0, 'reset')
    set('last_failure_at', 0)
    set('last_failure', '')
  end
  return 'won'
end

function operations.lease()
  if record.override == 'forced-open' then return 'refused' end
  if record.state == 'closed' then return 'pass' end
  local held = leases[op.token]
  if held then
    if held[1] > now and held[2] == record.generation then return 'granted' end
    set_lease(op.token, nil)
  end
  local due = record['until'] > 0 and record['until'] or record.since + (op.open_ms or 0)
  if record.state == 'open' and now < due or alive() >= op.limit then return 'refused' end
  if record.state == 'open' then move('half-open', op.token, 'the open time is over') end
  set_lease(op.token, {now + op.ttl_ms, record.generation})
  return 'granted'
end

function operations.settle()
  local to = op['then']
  if to and record.change == to.token then return 'settled' end
  set_reporter(op.reporter, seen(reporters[op.reporter] or new_reporter()))
  local held = leases[op.token]
  if held then set_lease(op.token, nil) end
  if not held or held[1] <= now or record.state ~= 'half-open' then return 'late' end
  if held[2] ~= record.generation or op.generation ~= record.generation then return 'late' end
  if op.outcome == 'success' then set('successes', record.successes + 1) end
  if op.outcome == 'failure' then fail(op.last_failure) end
  if to then move(to.to, to.token, to.why, to.open_ms, to.rounds) end
  return 'settled'
end

local operate = operations[op.op]
if not operate then return redis.error_reply('ERR unknown operation ' .. tostring(op.op)) end
result = operate()
