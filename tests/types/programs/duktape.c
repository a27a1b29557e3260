/* Objects, arrays, functions, closures, buffers, dates, errors and threads of a script. */
#include "duktape.h"

#include <stdio.h>
#include <unistd.h>

static const char script[] =
	"function User(i) { this.name = 'user number ' + i; this.id = i; this.tags = []; for (var k = 0; k < i % 4; k++) this.tags.push('tag ' + k); }\n"
	"User.prototype.greet = function () { return this.name; };\n"
	"var users = [], closures = [], dates = [], buffers = [], threads = [], errors = [], proxies = [];\n"
	"for (var i = 0; i < 8000; i++) users.push(new User(i));\n"
	"for (i = 0; i < 1500; i++) closures.push((function (n) { var seen = {}; return function (x) { seen[x] = n; return seen; }; })(i));\n"
	"for (i = 0; i < 500; i++) { closures[i](i); dates.push(new Date(i * 1e9)); buffers.push(new Uint8Array(i)); }\n"
	"for (i = 0; i < 100; i++) { threads.push(new Duktape.Thread(function (x) { Duktape.Thread.yield(x); })); Duktape.Thread.resume(threads[i], i); }\n"
	"for (i = 0; i < 100; i++) { try { null.x; } catch (e) { errors.push(e); } proxies.push(new Proxy({ n: i }, {})); errors.push(/a+(b|c)/g); }\n"
	"function add(a) { return a + 1; }\n"
	"var bound = users.slice(0, 200).map(function (u) { return add.bind(u); });\n";

int main(void)
{
	char byte;
	duk_context *context = duk_create_heap_default();
	if (!context || duk_peval_string(context, script))
		return 1;
	duk_pop(context);
	puts("ready");
	fflush(stdout);
	if (read(0, &byte, 1) < 0)
		return 1;
	duk_eval_string(context, "users.length");
	printf("%d\n", duk_get_int(context, -1));
	duk_destroy_heap(context);
	return 0;
}
