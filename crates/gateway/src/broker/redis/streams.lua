-- What the scripts on streams have in common. A script is this text with one of the others behind it.
-- KEYS[1]: life; then for each room its counter and its history, and more as the script says.
-- ARGV[1]: run; [2] epoch for streams that begin; [3] time to live of counters, ms. A room's bounds are three more, as the
-- script says: time to live of its history, ms, then events and bytes kept.

-- What an entry takes beside its text: an estimate for the budget.
local ENTRY = 160

local life = redis.call('HMGET', KEYS[1], 'run', 'nonce')
if life[1] ~= ARGV[1] or not life[2] then
  return redis.error_reply('STALE the life of the data has changed')
end
life = life[2]

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function whole(number)
  return string.format('%.0f', number)
end

-- The room's epoch and offset. A stream that is of another life, or of none, begins anew: its offsets may have been given
-- to events that this server does not know.
local function stream(counter, history)
  local found = redis.call('HMGET', counter, 'epoch', 'offset', 'life')
  if not found[1] or found[3] ~= life then
    redis.call('DEL', history)
    redis.call('HSET', counter, 'epoch', ARGV[2], 'offset', 0, 'life', life, 'bytes', 0)
    found[1], found[2] = ARGV[2], 0
  end
  redis.call('PEXPIRE', counter, ARGV[3])
  return found[1], tonumber(found[2])
end

-- Forgets events that are too many, too large together or too old by the bounds from ARGV[first]; answers how many are left.
local function trim(counter, history, first)
  local age, most, budget = tonumber(ARGV[first]), tonumber(ARGV[first + 1]), tonumber(ARGV[first + 2])
  local count = redis.call('XLEN', history)
  local before = tonumber(redis.call('HGET', counter, 'bytes')) or 0
  local bytes = before
  while count > 0 do
    local oldest = redis.call('XRANGE', history, '-', '+', 'COUNT', 1)[1]
    local at, text = tonumber(oldest[2][2]), oldest[2][4]
    if count <= most and bytes <= budget and now - at < age then
      break
    end
    redis.call('XDEL', history, oldest[1])
    bytes = bytes - #text - ENTRY
    count = count - 1
  end
  if count == 0 then
    bytes = 0
  end
  if bytes ~= before then
    redis.call('HSET', counter, 'bytes', whole(bytes))
  end
  return count
end
