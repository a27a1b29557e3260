# A database in memory with tables, indices, views and triggers, and a transaction that is open.
BEGIN {
	for (i = 0; i < 60; i++) {
		print "CREATE TABLE t" i "(id INTEGER PRIMARY KEY, name TEXT NOT NULL DEFAULT 'none', amount REAL CHECK(amount >= 0), owner INTEGER REFERENCES t" (i ? i - 1 : 0) "(id));"
		print "CREATE INDEX i" i " ON t" i "(name, amount) WHERE amount > 10;"
		print "CREATE VIEW v" i " AS SELECT a.id, a.name, count(*) AS n FROM t" i " a LEFT JOIN t" (i ? i - 1 : 0) " b ON a.owner = b.id WHERE a.amount BETWEEN 5 AND 50 GROUP BY a.name HAVING n > 1 ORDER BY 2;"
		print "CREATE TRIGGER r" i " AFTER UPDATE OF amount ON t" i " WHEN new.amount > old.amount BEGIN INSERT INTO log VALUES (old.id, new.name || '!', CASE WHEN new.amount > 5 THEN 1 ELSE 0 END); END;"
	}
	print "CREATE TABLE log(id, what, kind);"
	for (i = 0; i < 20; i++) print "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 400) INSERT INTO t" i " SELECT x, 'name ' || x, x * 1.5, NULL FROM c;"
	for (i = 0; i < 20; i++) print "UPDATE t" i " SET amount = amount + 1 WHERE id % 7 = 0;"
	for (i = 0; i < 20; i++) print "SELECT count(*) FROM v" i ";"
	print "BEGIN;"
	print "DELETE FROM t3 WHERE id > 100;"
	print ".print ready"
	fflush()
}
