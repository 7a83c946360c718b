-- A connection leaves rooms, or is lost in them.
-- ARGV[5]: user; [6] connection; [7] seq: what it has asked later stays; [8] 1 when it is lost; then the rooms.
local user, connection, seq, is_lost = ARGV[5], ARGV[6], tonumber(ARGV[7]), ARGV[8] == '1'
for index = 9, #ARGV do
  local room = ARGV[index]
  update(room, user, function(attendee)
    local seat = attendee.seats[connection]
    if seat and seat.seq <= seq then
      local go = is_lost and lose or stand
      go(attendee, room, user, connection)
    end
  end)
end
return 1
