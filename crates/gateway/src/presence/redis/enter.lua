-- A connection enters rooms, or replaces what it said there.
-- ARGV[5]: node; [6] user; [7] connection; [8] seq, the order of what its node asks; [9] data; [10] bytes of a room at most;
-- then the rooms. Answers for each whether there was space.
local node, user, connection, seq, data = ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8]), ARGV[9]
local answers = {}
for index = 11, #ARGV do
  local room, key = ARGV[index], base .. 'room:' .. ARGV[index]
  local packed = redis.call('HGET', key, user)
  local own = packed and cmsgpack.unpack(packed).seats[connection]
  local seat = { node = node, seq = seq, rank = next_version(), data = data }
  local others = (tonumber(redis.call('HGET', key, '#')) or 0) - (own and seat_bytes(user, own) or 0)
  if own and own.seq > seq then
    -- Something that was asked later has been done already.
    answers[#answers + 1] = 1
  elseif others + seat_bytes(user, seat) > tonumber(ARGV[10]) then
    answers[#answers + 1] = 0
  else
    update(room, user, function(attendee)
      sit(attendee, room, user, connection, seat)
    end)
    answers[#answers + 1] = 1
  end
end
return answers
