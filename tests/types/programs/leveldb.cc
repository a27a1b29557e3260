// A database of leveldb's: memory table, cache, versions, iterators and snapshots.
#include "leveldb/cache.h"
#include "leveldb/db.h"
#include "leveldb/filter_policy.h"
#include "leveldb/write_batch.h"

#include <cstdio>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

int main(int argc, char **argv)
{
	leveldb::Options options;
	options.create_if_missing = true;
	options.write_buffer_size = 1 << 20;
	options.block_size = 1024;
	options.block_cache = leveldb::NewLRUCache(8 << 20);
	options.filter_policy = leveldb::NewBloomFilterPolicy(10);
	leveldb::DB *db = nullptr;
	if (argc < 2 || !leveldb::DB::Open(options, argv[1], &db).ok())
		return 1;
	for (int i = 0; i < 60000; i++) {
		leveldb::WriteBatch batch;
		std::string n = std::to_string(i * 7919 % 60000);
		batch.Put("user" + n, "user number " + n + std::string(i % 200, 'x'));
		db->Write(leveldb::WriteOptions(), &batch);
	}
	std::vector<std::unique_ptr<leveldb::Iterator>> iterators;
	std::vector<const leveldb::Snapshot *> snapshots;
	for (int i = 0; i < 50; i++) {
		iterators.emplace_back(db->NewIterator(leveldb::ReadOptions()));
		iterators.back()->Seek("user" + std::to_string(i * 1000));
		snapshots.push_back(db->GetSnapshot());
	}
	std::string value;
	for (int i = 0; i < 20000; i++)
		db->Get(leveldb::ReadOptions(), "user" + std::to_string(i * 3), &value);
	puts("ready");
	fflush(stdout);
	char byte;
	if (read(0, &byte, 1) < 0)
		return 1;
	iterators.clear();
	for (const leveldb::Snapshot *s : snapshots)
		db->ReleaseSnapshot(s);
	delete db;
	delete options.block_cache;
	delete options.filter_policy;
}
