-- Makes what is kept of a node in a room what the node says: after an outage either may know more.
-- ARGV[5]: node; [6] room; [7] seq: seats that were taken later are not spoken of; then for each seat user, connection, seq, data.
local node, room, until_seq = ARGV[5], ARGV[6], tonumber(ARGV[7])
local wanted, users = {}, {}
for index = 8, #ARGV, 4 do
  wanted[ARGV[index + 1]] = { user = ARGV[index], seq = tonumber(ARGV[index + 2]), data = ARGV[index + 3] }
  users[ARGV[index]] = true
end
local found = redis.call('HGETALL', base .. 'room:' .. room)
for index = 1, #found, 2 do
  if found[index] ~= '#' then
    users[found[index]] = true
  end
end
for user in pairs(users) do
  update(room, user, function(attendee)
    local gone = {}
    for connection, seat in pairs(attendee.seats) do
      if seat.node == node and seat.seq <= until_seq and not wanted[connection] then
        gone[#gone + 1] = connection
      end
    end
    for _, connection in ipairs(gone) do
      lose(attendee, room, user, connection)
    end
    for connection, seat in pairs(wanted) do
      local known = attendee.seats[connection]
      if seat.user == user and not (known and known.seq >= seat.seq) then
        sit(attendee, room, user, connection, { node = node, seq = seat.seq, rank = next_version(), data = seat.data })
      end
    end
  end)
end
return 1
