-- Trims `stream:signals` below the oldest entry that is not acknowledged, forgets dead consumers, notes misuse.
-- KEYS[1]  the stream
-- KEYS[2]  facts about it (hash)
-- ARGV[1]  its group
-- ARGV[2]  ms after which a consumer without entries is forgotten
-- ARGV[3]  ms that an id may be ahead of the clock
-- Facts: trimmed (entries dropped here since the stream was made), removed and removed_at (dropped by somebody else),
-- ahead_at (last time that the newest id was of a time to come).
-- Returns entries that somebody else dropped since the last look, and 1 when ids began to be ahead.
-- An empty stream whose ids are ahead is made anew: by ids no message would be its own age, and after the last possible
-- one nobody could add any.
local function pairs_of(reply)
  local found = {}
  for at = 1, #reply, 2 do
    found[reply[at]] = reply[at + 1]
  end
  return found
end
local function ms_of(id)
  return tonumber(string.match(id, '^%d+'))
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local pending = redis.call('XPENDING', KEYS[1], ARGV[1])
local stream = pairs_of(redis.call('XINFO', 'STREAM', KEYS[1]))
local newest = stream['last-generated-id']
local dropped = 0
if pending[1] > 0 then
  dropped = redis.call('XTRIM', KEYS[1], 'MINID', pending[2])
else
  for _, reply in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local group = pairs_of(reply)
    if group['name'] == ARGV[1] and group['last-delivered-id'] == newest then
      dropped = redis.call('XTRIM', KEYS[1], 'MAXLEN', 0)
    elseif group['name'] == ARGV[1] then
      dropped = redis.call('XTRIM', KEYS[1], 'MINID', group['last-delivered-id'])
    end
  end
end
for _, reply in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local consumer = pairs_of(reply)
  if consumer['pending'] == 0 and consumer['idle'] > tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer['name'])
  end
end
local length = redis.call('XLEN', KEYS[1])
local news = 0
if stream['entries-added'] then -- Redis 7; on 6.2 nobody counts them, and `executor check` says so
  local trimmed = redis.call('HINCRBY', KEYS[2], 'trimmed', dropped)
  local removed = stream['entries-added'] - length - trimmed
  local known = tonumber(redis.call('HGET', KEYS[2], 'removed') or '0')
  if removed < 0 then -- the stream was made anew
    redis.call('HSET', KEYS[2], 'trimmed', stream['entries-added'] - length, 'removed', 0)
  elseif removed ~= known then
    redis.call('HSET', KEYS[2], 'removed', removed)
    if removed > known then
      news = removed - known
      redis.call('HSET', KEYS[2], 'removed_at', now)
    end
  end
end
local ahead = 0
if ms_of(newest) > now + tonumber(ARGV[3]) then
  local noted = tonumber(redis.call('HGET', KEYS[2], 'ahead_at') or '0')
  ahead = (now - noted > 60000) and 1 or 0
  redis.call('HSET', KEYS[2], 'ahead_at', now)
  if length == 0 and pending[1] == 0 then
    redis.call('DEL', KEYS[1])
    redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
    redis.call('HSET', KEYS[2], 'trimmed', 0, 'removed', 0)
  end
end
return {news, ahead}
