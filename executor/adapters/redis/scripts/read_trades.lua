-- Reads entries of the accounting feed for the ledger: first what was read before and never acknowledged, else what is
-- new. Makes the consumer group where there is none.
-- KEYS[1]  the feed
-- ARGV[1]  the group
-- ARGV[2]  the consumer
-- ARGV[3]  how many at most
-- Returns the entries.
local function read(start)
  return redis.pcall('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', ARGV[3], 'STREAMS', KEYS[1], start)
end
local found = read('0')
if found.err then
  if not string.find(found.err, '^NOGROUP') then
    return found
  end
  redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
elseif #found[1][2] > 0 then
  return found[1][2]
end
found = read('>')
return found and (found.err and found or found[1][2]) or {}
