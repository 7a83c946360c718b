-- A node goes: what is left of its seats is lost.
-- ARGV[5]: node; [6] seats in one call at the most. Answers 1 when more is left.
local is_left = lose_some(ARGV[5], ARGV[6])
if not is_left then
  redis.call('ZREM', base .. 'nodes', ARGV[5])
end
return is_left and 1 or 0
