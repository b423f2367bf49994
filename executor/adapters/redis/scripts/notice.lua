-- Writes a notice; a stream that cannot be written stops nothing.
local function notice(stream, most, ...)
  redis.pcall('XADD', stream, 'MAXLEN', '~', most, '*', ...)
end
