-- Whose data this is. Called by a node for each new connection, and when a script found the life to be another's.
-- KEYS: life. ARGV: run, replication id, former replication id, nonce for a new life.
local found = redis.call('HMGET', KEYS[1], 'run', 'replid', 'nonce')
local is_same = found[1] == ARGV[1] and found[3]
-- The same process with another replication id: either it has begun to feed replicas (there is no former id), or it has
-- been a replica in between, and its data are those of another primary.
if is_same and found[2] ~= ARGV[2] and not string.match(ARGV[3], '^0*$') then
  is_same = false
end
if not is_same then
  found[3] = ARGV[4]
end
redis.call('HSET', KEYS[1], 'run', ARGV[1], 'replid', ARGV[2], 'nonce', found[3])
return found[3]
