-- The position that each room has reached; a room that nobody knows begins.
local positions = {}
for index = 2, #KEYS, 2 do
  local epoch, offset = stream(KEYS[index], KEYS[index + 1])
  positions[#positions + 1] = epoch .. ':' .. whole(offset)
end
return positions
