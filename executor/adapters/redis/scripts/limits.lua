-- Changes limits, all of them or none, if those that the caller saw still stand.
-- KEYS: limits, notices.  ARGV: most notices; a notice as JSON, whose text is followed by what changed; number of fields
-- that were seen; for each field and what it held ("" where it was missing); then for each change field and value.
-- Returns for each change what it was ("" where missing), or 0 when something differs.
local seen = tonumber(ARGV[3])
local first = 4 + 2 * seen
for at = 4, first - 1, 2 do
  local held = redis.call('HGET', KEYS[1], ARGV[at]) or ''
  if held ~= ARGV[at + 1] then return 0 end
end
local old, changes = {}, {}
for at = first, #ARGV, 2 do
  local held = redis.call('HGET', KEYS[1], ARGV[at]) or ''
  old[#old + 1] = held
  changes[#changes + 1] = ARGV[at] .. ' ' .. (held == '' and 'missing' or held) .. ' -> ' .. ARGV[at + 1]
end
if #old > 0 then
  redis.call('HSET', KEYS[1], unpack(ARGV, first))
  local told = {}
  for name, value in pairs(cjson.decode(ARGV[2])) do
    told[#told + 1] = name
    told[#told + 1] = name == 'text' and value .. ': ' .. table.concat(changes, ', ') or value
  end
  notice(KEYS[2], ARGV[1], unpack(told))
end
return old
