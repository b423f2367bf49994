-- Takes messages whose header `deadline` has passed off a queue's old end; the others stay in their order.
-- KEYS[1]  the queue, its oldest message last
-- ARGV[1]  now, ms
-- ARGV[2]  how many of the oldest to skip
-- ARGV[3]  how many to look at
-- Returns how many were looked at, and how many of them stay. What cannot be read stays: its reader says so.
local oldest = -1 - ARGV[2]
local some = redis.call('LRANGE', KEYS[1], oldest - ARGV[3] + 1, oldest)
local kept = {}
for _, text in ipairs(some) do
  local read, message = pcall(cjson.decode, text)
  local headers = read and type(message) == 'table' and message['headers']
  local deadline = type(headers) == 'table' and tonumber(headers['deadline'])
  if not deadline or deadline > tonumber(ARGV[1]) then
    kept[#kept + 1] = text
  end
end
if #kept < #some then
  local skipped = {}
  if tonumber(ARGV[2]) > 0 then
    skipped = redis.call('LRANGE', KEYS[1], oldest + 1, -1)
  end
  redis.call('LTRIM', KEYS[1], 0, oldest - #some)
  for _, text in ipairs(kept) do
    redis.call('RPUSH', KEYS[1], text)
  end
  for _, text in ipairs(skipped) do
    redis.call('RPUSH', KEYS[1], text)
  end
end
return {#some, #kept}
