-- A node lives; and whoever looks by, looks after those who do not.
-- ARGV[5]: node; [6] without a beat for so long a node is dead, ms; [7] after so long without any beat nobody is judged for a
-- while, ms; [8] seats and users looked after at the most.
-- Answers 1 when the node was not known, the number of its seats, and 1 when more is left to do.
local node, dead_after, silence, limit = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local state = redis.call('HMGET', base .. 'state', 'checked', 'judge')
-- Where nobody has ever looked, nobody is absent.
local checked, judge = tonumber(state[1]) or now, tonumber(state[2]) or 0
-- Nobody has looked for a while: it was this server that was away, and the nodes could not beat, nor users come back.
if now - checked > silence then
  judge = now + math.max(dead_after, grace)
end
redis.call('HSET', base .. 'state', 'checked', whole(now), 'judge', whole(judge))
local is_new = redis.call('ZADD', base .. 'nodes', whole(now), node)
local is_left = false
if now >= judge then
  for _, dead in ipairs(redis.call('ZRANGEBYSCORE', base .. 'nodes', '-inf', whole(now - dead_after), 'LIMIT', 0, 1)) do
    is_left = lose_some(dead, limit)
    if not is_left then
      redis.call('ZREM', base .. 'nodes', dead)
    end
  end
  local due = redis.call('ZRANGEBYSCORE', base .. 'lost', '-inf', whole(now), 'LIMIT', 0, limit)
  for _, pair in ipairs(due) do
    local room, user = string.match(pair, '^(%S+) (%S+)$')
    redis.call('ZREM', base .. 'lost', pair)
    update(room, user, function(attendee)
      if attendee.lost and attendee.lost['until'] <= now then
        attendee.lost = nil
      end
    end)
  end
  is_left = is_left or #due == limit
end
return { is_new, redis.call('SCARD', base .. 'of:' .. node), is_left and 1 or 0 }
