# Keys of all kinds.
BEGIN {
	for (i = 0; i < 20000; i++) print "SET text:" i " 'value number " i " of some length'"
	for (i = 0; i < 10000; i++) print "SET number:" i " " i * 977
	for (i = 0; i < 3000; i++) {
		print "HSET user:" i " name 'user number " i "' id " i " mail user" i "@example.org"
		print "RPUSH queue:" i % 50 " 'job number " i " with some words that make it longer than a list pack would like'"
		print "ZADD score:" i % 5 " " i / 7 " member" i
		print "SADD set:" i % 7 " member" i
		print "SADD integers:" i % 7 " " i
		if (i % 3 == 0) print "XADD stream:" i % 4 " * field" i % 5 " value" i
		if (i % 10 == 0) print "EXPIRE text:" i " 100000"
		print "HSET large:" i % 3 " field" i " value" i
	}
	print "EVAL 'return 1' 0"
	print "CONFIG SET maxmemory-policy allkeys-lfu"
}
