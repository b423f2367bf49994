-- Moves the ledger's place in the feed back to what the ledger has, where more than that was acknowledged.
-- KEYS[1]: the feed.
-- ARGV[1]: its consumer group.
-- ARGV[2]: id of the last entry that the ledger has, 0-0 for none.
-- Returns 1 where it was moved, else 0.
local function parts(id)
  local ms, number = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(number)
end
local function after(one, other)
  local ms, number = parts(one)
  local other_ms, other_number = parts(other)
  return ms > other_ms or (ms == other_ms and number > other_number)
end
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
if groups.err then
  return 0
end
for _, group in ipairs(groups) do
  local named = {}
  for at = 1, #group, 2 do
    named[group[at]] = group[at + 1]
  end
  if named['name'] == ARGV[1] then
    local acknowledged = named['last-delivered-id']
    local pending = redis.call('XPENDING', KEYS[1], ARGV[1])
    if pending[1] > 0 then
      -- What is before the oldest unacknowledged entry is acknowledged; that one and all after it are read again anyway.
      local before = redis.call('XREVRANGE', KEYS[1], '(' .. pending[2], '-', 'COUNT', 1)
      acknowledged = before[1] and before[1][1] or '0-0'
    end
    if after(acknowledged, ARGV[2]) then
      redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], ARGV[2])
      return 1
    end
  end
end
return 0
