-- Gives a signal its terminal record if it is still as it was read.
-- KEYS[1]  the record
-- KEYS[2]  open signals
-- KEYS[3]  accounting feed
-- ARGV[1]  the record as it was read
-- ARGV[2]  the terminal record
-- ARGV[3]  its life in seconds
-- ARGV[4]  the signal's id
-- ARGV[5...] names and values of the feed's entry
-- Returns 1 when written.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('XADD', KEYS[3], '*', unpack(ARGV, 5))
redis.call('ZREM', KEYS[2], ARGV[4])
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
