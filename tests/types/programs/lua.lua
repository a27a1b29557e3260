-- Tables, closures, strings and coroutines.
users = {}
for i = 1, 20000 do
	local user = { name = "user number " .. i, id = i, tags = {} }
	for k = 1, i % 4 do user.tags[k] = "tag" .. k end
	user.greet = function() return user.name end
	users[i] = user
end
threads = {}
for i = 1, 200 do threads[i] = coroutine.create(function() coroutine.yield(i) end); coroutine.resume(threads[i]) end
print("ready")
io.stdout:flush()
io.read(1)
