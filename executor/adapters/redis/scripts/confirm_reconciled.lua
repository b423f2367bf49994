-- Sets the reconciled mark, unless the data are not those that the poll began with: a poll that began before a restart,
-- a failover or a FLUSHALL has not seen what was lost in between.
-- KEYS[1]  the data's generation
-- KEYS[2]  the mark
-- KEYS[3]  markets in which nothing is placed all the same
-- ARGV[1]  this run and generation, as read when the poll began
-- ARGV[2]  the mark's value
-- ARGV[3]  its life in seconds
-- ARGV[4...] such markets, each with why
-- Returns 1 when it was set.
local run = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
if ARGV[1] ~= run .. ' ' .. (redis.call('GET', KEYS[1]) or '') then
  return 0
end
redis.call('DEL', KEYS[3])
if #ARGV > 3 then
  redis.call('HSET', KEYS[3], unpack(ARGV, 4))
end
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3])
return 1
