-- Who is in a room.
-- ARGV[5]: room. Answers the version, and for each user the id, the number of connections and the data.
local members = {}
local found = redis.call('HGETALL', base .. 'room:' .. ARGV[5])
for index = 1, #found, 2 do
  if found[index] ~= '#' then
    local seen = member(cmsgpack.unpack(found[index + 1]))
    if seen then
      members[#members + 1] = { found[index], seen.connections, seen.data or '' }
    end
  end
end
return { redis.call('HGET', base .. 'state', 'version') or '0', members }
