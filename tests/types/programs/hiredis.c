/* Answers of a server's as hiredis reads them: arrays of arrays, texts, numbers. */
#include "hiredis.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static redisReply *replies[4000];

int main(void)
{
	char text[512], byte;
	redisReader *reader = redisReaderCreate();
	for (int i = 0; i < 4000; i++) {
		void *reply = NULL;
		snprintf(text, sizeof text, "*4\r\n$%d\r\nuser%06d and so on\r\n:%d\r\n*3\r\n+OK\r\n:%d\r\n$-1\r\n*2\r\n+first\r\n$0\r\n\r\n", 20, i, i, i);
		redisReaderFeed(reader, text, strlen(text));
		if (redisReaderGetReply(reader, &reply) != REDIS_OK || !reply)
			return 1;
		replies[i] = reply;
	}
	redisReaderFeed(reader, "*2\r\n+half\r\n", 11);
	puts("ready");
	fflush(stdout);
	if (read(0, &byte, 1) < 0)
		return 1;
	for (int i = 0; i < 4000; i++)
		freeReplyObject(replies[i]);
	redisReaderFree(reader);
	return 0;
}
