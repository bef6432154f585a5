-- One operation on one shared circuit, layout 1.
--   KEYS: the circuit's hash, the log of changes (same slot).  ARGV: channel, operation as JSON, idle milliseconds.
-- The same steps in the same order as the Python reference (record.py, mechanism.py): no threshold is compared here.
-- Every command that a script calls costs the server about as much as one from outside: TIME, HGETALL, HSET and
-- PEXPIRE are all that a flush needs. Fields of the hash:
--   scalars under their own names, left out while they have their default
--   w:<bucket_ms>:<slot>  [era, bucket, calls, failures, slow]
--   r:<reporter>          [number, active, mark, peak, era, span_ms, epoch, then twice calls, failures, slow]
--   leases                {token: [expires, generation]}
local HASH, LOG, CHANNEL, IDLE_MS = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[3])
local op = cjson.decode(ARGV[2])

local DEFAULTS = {
  generation = 1, change = '', state = 'closed', since = 0, ['until'] = 0, open_ms = 0, rounds = 0, why = '',
  override = '', override_until = 0, override_author = '', override_reason = '', policy = '', run = 0, successes = 0,
  last_failure_at = 0, last_failure = '', bucket_ms = 0, buckets = 0, era = 0, runs = 0, orders = '', written = 0,
}
local RING, MAX_REPORTERS, MAX_ORDERS = 32, 256, 8
local LIVE_MS, FORGET_MS, CLOCK_SLACK_MS, TIDY_MS = 60000, 300000, 1000, 1000
local REPORTING, OVERLAY, LEFT = 0, 1, 2
local NUMBER, ACTIVE, MARK, PEAK, ERA, SPAN, EPOCH, COUNTS, BEFORE = 1, 2, 3, 4, 5, 6, 7, 8, 11

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- ---- the record: read once, written once ----

local record, slots, reporters, leases = setmetatable({}, {__index = DEFAULTS}), {}, {}, {}
local changed_fields, gone_fields, dirty = {}, {}, false

local flat = redis.call('HGETALL', HASH)
for i = 1, #flat, 2 do
  local name, value = flat[i], flat[i + 1]
  local kind = name:sub(1, 2)
  if kind == 'w:' then slots[name:sub(3)] = cjson.decode(value)
  elseif kind == 'r:' then reporters[name:sub(3)] = cjson.decode(value)
  elseif name == 'leases' then leases = cjson.decode(value)
  elseif DEFAULTS[name] then record[name] = type(DEFAULTS[name]) == 'number' and tonumber(value) or value
  end
end

local function set(name, value)
  if record[name] == value then return end
  record[name], dirty = value, true
  changed_fields[name] = type(value) == 'number' and string.format('%.0f', value) or value
end

local function set_slot(name, slot)
  slots[name], dirty = slot, true
  changed_fields['w:' .. name] = cjson.encode(slot)
end

local function set_reporter(name, reporter)
  reporters[name], dirty = reporter, true
  changed_fields['r:' .. name] = cjson.encode(reporter)
end

local function set_lease(token, lease)
  leases[token], dirty = lease, true
  changed_fields.leases = true -- encoded when written
end

-- ---- the window ----

local window = op.window or {record.bucket_ms, record.buckets}
local width, buckets = window[1], window[2]
local span = width * buckets

local function add(age_ms, calls, failures, slow)
  local bucket = math.floor((now - age_ms) / width)
  local name = string.format('%.0f:%.0f', width, bucket % RING)
  local slot = slots[name]
  if not slot or slot[1] ~= record.era or slot[2] < bucket then slot = {record.era, bucket, 0, 0, 0} end
  if slot[2] == bucket then
    set_slot(name, {slot[1], bucket, slot[3] + calls, slot[4] + failures, slot[5] + slow})
  end
end

local function counted()
  local calls, failures, slow = 0, 0, 0
  if buckets == 0 then return calls, failures, slow end
  local newest = math.floor(now / width)
  local prefix = string.format('%.0f:', width)
  for name, slot in pairs(slots) do
    local recent = newest - buckets < slot[2] and slot[2] <= newest
    if recent and slot[1] == record.era and name:sub(1, #prefix) == prefix then
      calls, failures, slow = calls + slot[3], failures + slot[4], slow + slot[5]
    end
  end
  return calls, failures, slow
end

-- ---- reporters ----

local function new_reporter() return {0, 0, REPORTING, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0} end

local function seen(reporter)
  reporter[ACTIVE] = now
  if reporter[MARK] == LEFT then reporter[MARK] = REPORTING end
  return reporter
end

local function epoch_of(at)
  if span == 0 then return record.runs end
  return math.floor(at / span)
end

-- The counts of this epoch and of the one before, as they are now; those of another era are gone.
local function slid(reporter)
  local here, before, epoch = {0, 0, 0}, {0, 0, 0}, epoch_of(now)
  local same = reporter[ERA] == record.era and reporter[SPAN] == span
  if same and reporter[EPOCH] == epoch then
    for i = 1, 3 do here[i], before[i] = reporter[COUNTS + i - 1], reporter[BEFORE + i - 1] end
  elseif same and span > 0 and reporter[EPOCH] == epoch - 1 then
    for i = 1, 3 do before[i] = reporter[COUNTS + i - 1] end
  end
  return here, before, epoch
end

local function add_flush(reporter, deltas, run)
  local here, before, epoch = slid(reporter)
  if span == 0 then
    here[1], here[2] = here[1] + run[3], here[2] + run[3]
  else
    for _, delta in ipairs(deltas) do
      local at = epoch_of(now - delta[1])
      local into = at == epoch and here or at == epoch - 1 and before or {0, 0, 0}
      for i = 1, 3 do into[i] = into[i] + delta[i + 1] end
    end
  end
  reporter[ERA], reporter[SPAN], reporter[EPOCH] = record.era, span, epoch
  for i = 1, 3 do reporter[COUNTS + i - 1], reporter[BEFORE + i - 1] = here[i], before[i] end
end

-- What a process counted in the window that ends now, or in the run.
local function total(reporter, epoch, left)
  if reporter[ERA] ~= record.era or reporter[SPAN] ~= span then return 0, 0, 0 end
  local calls, failures, slow, before = 0, 0, 0, BEFORE
  if reporter[EPOCH] == epoch then
    calls, failures, slow = reporter[COUNTS], reporter[COUNTS + 1], reporter[COUNTS + 2]
  elseif span > 0 and reporter[EPOCH] == epoch - 1 then
    before = COUNTS
  else
    return 0, 0, 0
  end
  if span > 0 and reporter[before] > 0 then
    calls = calls + math.ceil(reporter[before] * left / span)
    failures = failures + math.ceil(reporter[before + 1] * left / span)
    slow = slow + math.ceil(reporter[before + 2] * left / span)
  end
  return calls, failures, slow
end

-- How many reporters are live, how many hold their own circuit open, and the sums without the largest eighth.
local function fleet()
  local live, overlays, epoch, left = 0, 0, epoch_of(now), span > 0 and span - now % span or 0
  local all_calls, all_failures, all_slow, failing, slowing = 0, 0, 0, {}, {}
  for _, reporter in pairs(reporters) do
    if reporter[MARK] ~= LEFT and now - reporter[ACTIVE] <= LIVE_MS then
      live = live + 1
      if reporter[MARK] == OVERLAY and reporter[ERA] == record.era then overlays = overlays + 1 end
      local calls, failures, slow = total(reporter, epoch, left)
      all_calls, all_failures, all_slow = all_calls + calls, all_failures + failures, all_slow + slow
      if failures > 0 then failing[#failing + 1] = {failures, calls} end
      if slow > 0 then slowing[#slowing + 1] = {slow, calls} end
    end
  end
  local function rest(worst, count)
    table.sort(worst, function(a, b)
      if a[1] ~= b[1] then return a[1] > b[1] end
      return a[2] < b[2]
    end)
    local calls = all_calls
    for i = 1, math.min(math.ceil(live / 8), #worst) do count, calls = count - worst[i][1], calls - worst[i][2] end
    return calls, count
  end
  local rest_calls, rest_failures = rest(failing, all_failures)
  local rest_slow_calls, rest_slow = rest(slowing, all_slow)
  return {
    live = live, overlays = overlays, rest_calls = rest_calls, rest_failures = rest_failures,
    rest_slow_calls = rest_slow_calls, rest_slow = rest_slow,
  }
end

-- ---- changes of state ----

local changed, result, peak = '', '', 0

local function move(to, token, why, open_ms, rounds, kind)
  set('generation', record.generation + 1)
  set('change', token)
  set('state', to)
  set('why', why or '')
  set('since', now)
  set('until', 0)
  set('successes', 0)
  if open_ms then
    set('open_ms', open_ms)
    if to == 'open' then set('until', now + open_ms) end
  end
  if rounds then set('rounds', rounds) end
  if to == 'closed' then
    set('run', 0)
    set('era', record.era + 1)
  end
  changed = kind or 'transition'
end

-- Whether this unconditional change was made before; it is remembered from now on.
local function obeyed(token)
  local orders = {}
  for order in record.orders:gmatch('%S+') do
    if order == token then return true end
    orders[#orders + 1] = order
  end
  orders[#orders + 1] = token
  set('orders', table.concat(orders, ' ', math.max(1, #orders - MAX_ORDERS + 1)))
  return false
end

local function put_override(to, expires_ms, author, reason)
  set('override', to)
  set('override_until', expires_ms and now + expires_ms or 0)
  set('override_author', author or '')
  set('override_reason', reason or '')
end

local function lift(token, why, kind)
  local to = record.override == 'forced-open' and 'open' or 'closed'
  put_override('')
  move(to, token, why, 0, 0, kind)
end

local function fail(text)
  set('last_failure_at', now)
  set('last_failure', text or '')
end
