-- Trips the breaker when its condition holds and it is closed.
-- KEYS[1]  breaker
-- KEYS[2]  since: the last success, trip or reset
-- KEYS[3]  trading enabled
-- KEYS[4]  failed orders
-- KEYS[5]  halted: who switched trading off by command
-- KEYS[6]  notices
-- ARGV[1]  threshold
-- ARGV[2]  window in seconds
-- ARGV[3]  message for the channel
-- ARGV[4]  ISO time
-- ARGV[5]  kill-switch channel
-- ARGV[6]  most notices
-- ARGV[7...] the notice
-- Returns the number of failures, or 0.
-- Switched on again past us: whoever switches it off next is somebody else.
local switch = redis.pcall('GET', KEYS[3])
if type(switch) == 'string' and (switch == '1' or string.lower(switch) == 'true') then redis.call('DEL', KEYS[5]) end
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local time = redis.call('TIME')
local count = redis.call('ZCOUNT', KEYS[4], failures_from(time, ARGV[2], redis.call('GET', KEYS[2])), '+inf')
if count < tonumber(ARGV[1]) then return 0 end
-- First, as it frees: without memory left Redis refuses a script that does not begin so.
redis.call('DEL', KEYS[3])
redis.call('SET', KEYS[3], 'false')
redis.call('HSET', KEYS[1], 'time', ARGV[4], 'failures', count, 'reason', 'found by the watchdog')
redis.call('SET', KEYS[2], string.format('%.3f', time[1] + time[2] / 1000000))
notice(KEYS[6], ARGV[6], unpack(ARGV, 7))
redis.call('PUBLISH', ARGV[5], ARGV[3])
return count
