-- Takes a lock, unless it is held in this run of the master: one that a failover brought along is nobody's any more.
-- KEYS[1]  the lock
-- ARGV[1]  the holder's token
-- ARGV[2]  its life in seconds
-- Returns the lock's value, by which its holder frees it; false when somebody else holds it.
local run = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
local held = redis.pcall('GET', KEYS[1])
if type(held) == 'string' and string.sub(held, 1, #run) == run and held ~= run .. ' ' .. ARGV[1] then
  return false
end
redis.call('SET', KEYS[1], run .. ' ' .. ARGV[1], 'EX', ARGV[2])
return run .. ' ' .. ARGV[1]
