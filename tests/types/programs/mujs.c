/* Objects, arrays, functions, closures, dates, errors, expressions and strings of a script. */
#include "mujs.h"

#include <stdio.h>
#include <unistd.h>

static const char script[] =
	"function User(i) { this.name = 'user number ' + i; this.id = i; this.tags = []; for (var k = 0; k < i % 4; k++) this.tags.push('tag ' + k); }\n"
	"User.prototype.greet = function () { return this.name; };\n"
	"var users = [], closures = [], dates = [], patterns = [], errors = [], counts = {}, boxed = [];\n"
	"for (var i = 0; i < 8000; i++) { users.push(new User(i)); counts['key ' + i % 700] = i; }\n"
	"for (i = 0; i < 1500; i++) closures.push((function (n) { var seen = {}; return function (x) { seen[x] = n; return seen; }; })(i));\n"
	"for (i = 0; i < 500; i++) { closures[i](i); dates.push(new Date(i * 1e9)); boxed.push(new String('boxed ' + i), new Number(i), new Boolean(i)); }\n"
	"for (i = 0; i < 100; i++) { try { null.x; } catch (e) { errors.push(e); } patterns.push(new RegExp('a+(b|c' + i + ')', 'g')); }\n"
	"function add(a, b) { switch (b) { case 1: return a; case 2: for (var p in a) if (p) return a[p]; default: return a + b; } }\n"
	"var bound = users.slice(0, 200).map(function (u) { return add.bind(u); });\n"
	"var copies = users.slice(0, 3000).map(function (u) { return { who: u, at: [u.id, u.id + 1, { deep: u.name }] }; });\n";

int main(void)
{
	char byte;
	js_State *J = js_newstate(NULL, NULL, JS_STRICT);
	if (!J || js_dostring(J, script))
		return 1;
	puts("ready");
	fflush(stdout);
	if (read(0, &byte, 1) < 0)
		return 1;
	js_freestate(J);
	return 0;
}
