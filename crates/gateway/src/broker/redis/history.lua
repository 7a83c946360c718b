-- The kept events of rooms behind a position, or the newest.
-- ARGV[4]: the most events of a room; [5] bytes after which no further room is read; then for each room the epoch and the
-- offset behind which events are wanted, both empty for the newest, and its bounds.
-- Answers for each room that was read: latest position, gap or '', offset at the page's end, 1 when more follow, the texts.
local limit, budget = tonumber(ARGV[4]), tonumber(ARGV[5])
local pages, bytes = {}, 0
for index = 2, #KEYS, 2 do
  if bytes > budget then
    break
  end
  local counter, history = KEYS[index], KEYS[index + 1]
  local epoch, offset = stream(counter, history)
  local place = 1 + index / 2 * 5
  local kept = trim(counter, history, place + 2)
  local since, gap = ARGV[place], ''
  local behind = math.min(kept, limit)
  if since ~= '' then
    local from = tonumber(ARGV[place + 1])
    behind = offset - from
    if since ~= epoch or from > offset then
      behind, gap = 0, 'epoch'
    elseif behind > kept then
      behind, gap = 0, 'truncated'
    end
  end
  local taken, texts = math.min(behind, limit), {}
  if taken > 0 then
    local first = offset - behind + 1
    local entries = redis.call('XRANGE', history, whole(first) .. '-0', whole(first + taken - 1) .. '-0')
    -- Somebody else has taken events out: what is left has a hole.
    if #entries ~= taken then
      behind, taken, entries = 0, 0, {}
      gap = since ~= '' and 'truncated' or ''
    end
    for place, entry in ipairs(entries) do
      texts[place] = entry[2][4]
      bytes = bytes + #texts[place]
    end
  end
  local more = taken < behind and 1 or 0
  pages[#pages + 1] = { epoch .. ':' .. whole(offset), gap, whole(offset - behind + taken), more, texts }
end
return pages
