-- One event, in one step over all its rooms: what is known already, positions, history, what is remembered, and the bus.
-- KEYS, for each room: counter, history, and the remembered id.
-- ARGV[4]: how long ids are remembered, ms, 0 for an id that the gateway made; [5] the first lines of the text; [6] the
-- head; [7] the beginning of channels' names; then each room's name and bounds.
local remembered = tonumber(ARGV[4])
local answer, fresh, places = {}, {}, {}
for room = 1, (#ARGV - 7) / 4 do
  local key, name = room * 3 - 1, 4 + room * 4
  local known = remembered > 0 and redis.call('GET', KEYS[key + 2])
  if known then
    answer[room] = known
  else
    local epoch, offset = stream(KEYS[key], KEYS[key + 1])
    offset = redis.call('HINCRBY', KEYS[key], 'offset', 1)
    answer[room] = epoch .. ':' .. whole(offset)
    fresh[#fresh + 1] = { room = room, key = key, name = name, id = whole(offset) .. '-0' }
    places[#places + 1] = ARGV[name] .. ' ' .. answer[room] .. '\n'
  end
end
if #fresh == 0 then
  return { 1, answer }
end
local text = ARGV[5] .. #fresh .. '\n' .. table.concat(places) .. ARGV[6]
for _, place in ipairs(fresh) do
  local counter, history = KEYS[place.key], KEYS[place.key + 1]
  -- A history whose time is over has gone as a whole, and its bytes with it.
  if redis.call('EXISTS', history) == 0 then
    redis.call('HSET', counter, 'bytes', 0)
  end
  redis.call('XADD', history, place.id, 'at', whole(now), 'text', text)
  redis.call('HINCRBY', counter, 'bytes', #text + ENTRY)
  redis.call('PEXPIRE', history, ARGV[place.name + 1])
  trim(counter, history, place.name + 1)
  if remembered > 0 then
    redis.call('SET', KEYS[place.key + 2], answer[place.room], 'PX', ARGV[4])
  end
end
for _, place in ipairs(fresh) do
  redis.call('PUBLISH', ARGV[7] .. ARGV[place.name], text)
end
return { 0, answer }
