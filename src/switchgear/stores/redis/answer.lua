-- ---- the view ----

local view = fleet()
for name, value in pairs(record) do view[name] = value end
view.era, view.runs, view.orders, view.written = nil, nil, nil, nil
view.bucket_ms, view.buckets = width, buckets
view.peak, view.result, view.changed = peak, result, changed
local calls, failures, slow = counted()
view.calls, view.failures, view.slow = calls, failures, slow
view.leases, view.next_lease_end = alive()
for name, value in pairs(view) do -- what is left out has its default
  if value == (DEFAULTS[name] or 0) or value == '' then view[name] = nil end
end
view.now = now
local answer = cjson.encode(view)
if not dirty then return answer end

-- ---- what is written anyway is rid, about once a second, of what nobody can need any more ----

local function drop(field) changed_fields[field], gone_fields[#gone_fields + 1] = nil, field end

local function tidy()
  for token, lease in pairs(leases) do
    if lease[1] <= now then set_lease(token, nil) end
  end
  for name, slot in pairs(slots) do
    if (slot[2] + RING) * tonumber(name:match('^%d+')) <= now then drop('w:' .. name) end
  end
  local kept = {}
  for name, reporter in pairs(reporters) do
    if now - reporter[ACTIVE] > math.max(FORGET_MS, 2 * span) then drop('r:' .. name)
    else kept[#kept + 1] = name
    end
  end
  table.sort(kept, function(a, b)
    local x, y = reporters[a][ACTIVE], reporters[b][ACTIVE]
    if x ~= y then return x > y end
    return a < b
  end)
  for i = MAX_REPORTERS + 1, #kept do drop('r:' .. kept[i]) end
end

local size = 0
for _ in pairs(reporters) do size = size + 1 end
if math.floor(now / TIDY_MS) ~= math.floor(record.written / TIDY_MS) or size > MAX_REPORTERS then tidy() end
set('written', now)

if changed_fields.leases then changed_fields.leases = cjson.encode(leases) end
local arguments = {}
for field, value in pairs(changed_fields) do
  arguments[#arguments + 1], arguments[#arguments + 2] = field, value
end
if #arguments > 0 then redis.call('HSET', HASH, unpack(arguments)) end
if #gone_fields > 0 then redis.call('HDEL', HASH, unpack(gone_fields)) end

-- An open circuit must not close by being forgotten: idle time counts from the end of everything that is to come.
local to_come = math.max(record['until'], record.override_until)
for _, lease in pairs(leases) do to_come = math.max(to_come, lease[1]) end
local endless = record.override ~= '' and record.override_until == 0
if endless or record.state == 'open' and record['until'] == 0 then
  redis.call('PERSIST', HASH)
else
  redis.call('PEXPIRE', HASH, string.format('%.0f', math.max(IDLE_MS, 2 * span) + math.max(0, to_come - now)))
end

local function alarmed()
  if op.op ~= 'flush' or result ~= 'counted' then return false end
  local after, more = record.run, (op.run or {0, 0, 0, 0})[3]
  if buckets > 0 then
    after, more = failures, 0
    for _, delta in ipairs(op.deltas or {}) do more = more + delta[3] end
  end
  for _, alarm in ipairs(op.alarms or {}) do
    if after >= alarm and alarm > after - more then return true end
  end
  return false
end

if changed ~= '' then
  -- Each message names the entry before its own: who has not seen that one knows that something was missed.
  local last = redis.call('XREVRANGE', LOG, '+', '-', 'COUNT', 1)[1]
  local id = redis.call('XADD', LOG, 'MAXLEN', '~', 1000, '*', 'key', HASH, 'view', answer)
  redis.call('PUBLISH', CHANNEL, cjson.encode({key = HASH, view = answer, id = id, before = last and last[1] or ''}))
elseif alarmed() then
  redis.call('PUBLISH', CHANNEL, cjson.encode({key = HASH, view = answer}))
end
return answer
