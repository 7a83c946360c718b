-- What the scripts of presence have in common. A script is this text with one of the others behind it.
-- ARGV[1]: the beginning of keys; [2] of channels; [3] the grace, ms; [4] the first line of a change on the bus.
-- Keys, made here since what is due names rooms that no caller knows:
--   room:<room>  hash: user -> attendee, '#' -> bytes of all;  of:<node>  set: 'room user connection' of its seats;
--   nodes        zset: node -> last beat;                      lost       zset: 'room user' -> until when it may come back;
--   state        hash: version, when somebody looked last, from when on the absent may be judged.
-- An attendee: seats, by connection { node, seq, rank, data }, and the one that was lost { until, rank, data }. Data is JSON as
-- text, '' for none. Of two seats the later, by rank, has the say.
local base, channels, grace, header = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]

-- What a seat takes beside the user's id and its data: an estimate for the budget.
local ENTRY = 96

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function whole(number)
  return string.format('%.0f', number)
end

-- Grows always, also over data that were lost or rolled back.
local function next_version()
  local last = tonumber(redis.call('HGET', base .. 'state', 'version')) or 0
  local version = math.max(last + 1, time[1] * 1000000 + time[2])
  redis.call('HSET', base .. 'state', 'version', whole(version))
  return version
end

local function seat_bytes(user, seat)
  return ENTRY + #user + #seat.data
end

local function attendee_bytes(user, attendee)
  local bytes = attendee.lost and seat_bytes(user, attendee.lost) or 0
  for _, seat in pairs(attendee.seats) do
    bytes = bytes + seat_bytes(user, seat)
  end
  return bytes
end

-- What others see of an attendee; nil when it is not there.
local function member(attendee)
  local connections, speaker = 0, nil
  local function hear(seat)
    if seat.data ~= '' and (not speaker or seat.rank > speaker.rank) then
      speaker = seat
    end
  end
  for _, seat in pairs(attendee.seats) do
    connections = connections + 1
    hear(seat)
  end
  if attendee.lost then
    hear(attendee.lost)
  elseif connections == 0 then
    return nil
  end
  return { connections = connections, data = speaker and speaker.data }
end

local function looks_alike(before, after)
  if before and after then
    return before.data == after.data
  end
  return not before and not after
end

-- Changes a user's attendance, keeps the sums, and tells what others can see of it.
local function update(room, user, act)
  local key = base .. 'room:' .. room
  local packed = redis.call('HGET', key, user)
  local attendee = packed and cmsgpack.unpack(packed) or { seats = {} }
  local before, bytes = member(attendee), attendee_bytes(user, attendee)
  act(attendee)
  local after = member(attendee)
  if after then
    redis.call('HSET', key, user, cmsgpack.pack(attendee))
  elseif packed then
    redis.call('HDEL', key, user)
  end
  local difference = attendee_bytes(user, attendee) - bytes
  if difference ~= 0 and redis.call('HINCRBY', key, '#', whole(difference)) <= 0 then
    redis.call('DEL', key)
  end
  if not looks_alike(before, after) then
    local change = { room = room, user = user, version = whole(next_version()), before = before, after = after }
    redis.call('PUBLISH', channels .. room, header .. cjson.encode(change))
  end
end

-- The user is there, and does not have to come back.
local function found(attendee, room, user)
  if attendee.lost then
    attendee.lost = nil
    redis.call('ZREM', base .. 'lost', room .. ' ' .. user)
  end
end

local function sit(attendee, room, user, connection, seat)
  found(attendee, room, user)
  attendee.seats[connection] = seat
  redis.call('SADD', base .. 'of:' .. seat.node, room .. ' ' .. user .. ' ' .. connection)
end

local function stand(attendee, room, user, connection)
  local seat = attendee.seats[connection]
  attendee.seats[connection] = nil
  redis.call('SREM', base .. 'of:' .. seat.node, room .. ' ' .. user .. ' ' .. connection)
  return seat
end

-- The seat's connection is gone, and the user may come back. Of several that were lost, the latest that said something
-- speaks for them.
local function lose(attendee, room, user, connection)
  local seat, earlier = stand(attendee, room, user, connection), attendee.lost
  if grace == 0 then
    return
  end
  local speaks = earlier and earlier.data ~= '' and (seat.data == '' or earlier.rank > seat.rank)
  local speaker = speaks and earlier or seat
  attendee.lost = { ['until'] = now + grace, rank = speaker.rank, data = speaker.data }
  redis.call('ZADD', base .. 'lost', whole(now + grace), room .. ' ' .. user)
end

-- Loses some of a node's seats; answers whether more may be left.
local function lose_some(node, limit)
  local seats = redis.call('SPOP', base .. 'of:' .. node, limit)
  for _, seat in ipairs(seats) do
    local room, user, connection = string.match(seat, '^(%S+) (%S+) (%S+)$')
    update(room, user, function(attendee)
      if attendee.seats[connection] then
        lose(attendee, room, user, connection)
      end
    end)
  end
  return #seats == tonumber(limit)
end
