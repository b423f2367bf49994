-- Writes a notice that is to be told once.
-- KEYS[1]  says that it was
-- KEYS[2]  notices
-- ARGV[1]  seconds for which that is remembered
-- ARGV[2]  most entries
-- ARGV[3...] the notice
-- Returns 1 when it was written.
if not redis.call('SET', KEYS[1], '1', 'NX', 'EX', ARGV[1]) then return 0 end
notice(KEYS[2], ARGV[2], unpack(ARGV, 3))
return 1
