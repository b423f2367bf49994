-- Decides once whether this is a first start, and on one enables trading.
-- KEYS[1]  started
-- KEYS[2]  trading enabled
-- ARGV[1]  1 where there is something of ours
-- ARGV[2]  kill-switch channel
-- ARGV[3]  message for it
-- Returns 1 when trading was enabled.
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('SET', KEYS[1], redis.call('TIME')[1])
if ARGV[1] == '1' or redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('SET', KEYS[2], 'true')
redis.call('PUBLISH', ARGV[2], ARGV[3])
return 1
