// What C++ programs hide types in: std::function, std::any, variants, shared_ptr<void>, coroutines' frames, threads and their
// arguments, futures, polymorphic classes by a pointer to a base that is not their first one.
#include <any>
#include <array>
#include <condition_variable>
#include <coroutine>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <forward_list>
#include <functional>
#include <future>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <unistd.h>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>

namespace shop {

struct Item { std::string name; double price; int count; };
struct Order { int number; std::vector<Item> items; Order *next; };
struct Settings { char words[200]; Item *first; };

struct Shape { virtual ~Shape() = default; virtual double area() const = 0; Shape *sibling = nullptr; };
struct Named { virtual ~Named() = default; std::string label = "a label that is longer than a string holds itself"; };
struct Logged { virtual ~Logged() = default; long events[3] = {}; };
struct Circle : Shape { double radius = 1; double area() const override { return 3 * radius * radius; } };
struct Sign : Shape, Named { int side = 2; double area() const override { return side; } };
struct Root { virtual ~Root() = default; int id = 7; };
struct Left : virtual Root { int left = 1; };
struct Right : virtual Root { int right = 2; };
struct Both : Left, Right, Logged { std::vector<int> numbers = { 1, 2, 3 }; };

template <typename K, typename V> struct Table {
	struct Entry { K key; V value; Entry *next; };
	std::array<Entry *, 64> buckets{};
	void add(K key, V value)
	{
		Entry *&at = buckets[std::hash<K>()(key) % buckets.size()];
		at = new Entry{ std::move(key), std::move(value), at };
	}
};

struct Generator {
	struct promise_type {
		int value = 0;
		Item *last = nullptr;
		Generator get_return_object() { return { std::coroutine_handle<promise_type>::from_promise(*this) }; }
		std::suspend_always initial_suspend() noexcept { return {}; }
		std::suspend_always final_suspend() noexcept { return {}; }
		std::suspend_always yield_value(int v) noexcept { value = v; return {}; }
		void return_void() {}
		void unhandled_exception() {}
	};
	std::coroutine_handle<promise_type> handle;
};

Generator count(std::string what, Item *item)
{
	std::vector<int> seen;
	for (int i = 0;; i++) {
		seen.push_back(i);
		co_yield i + (int)what.size() + item->count;
	}
}

struct Pool {
	std::vector<std::unique_ptr<Shape>> shapes;
	std::vector<Named *> named;
	std::vector<Root *> roots;
	std::vector<Logged *> logged;
	std::vector<std::function<int(int)>> calls;
	std::vector<std::any> anything;
	std::vector<std::shared_ptr<void>> opaque;
	std::vector<std::shared_ptr<Order>> orders;
	std::vector<std::weak_ptr<Order>> watched;
	std::vector<std::variant<int, std::unique_ptr<Order>, std::string, Item *>> choices;
	std::vector<std::optional<std::unique_ptr<Item>>> perhaps;
	std::vector<Generator> generators;
	std::vector<std::thread> threads;
	std::vector<std::future<Item>> futures;
	std::vector<std::promise<Item>> promises;
	std::map<std::string, std::map<int, std::variant<int, std::string>>> nested;
	std::unordered_map<int, std::unique_ptr<Table<std::string, std::vector<long>>>> tables;
	std::unordered_multimap<std::string, Item> by_name;
	std::multiset<std::pair<int, std::string>> pairs;
	std::list<std::variant<Item, Order>> queue;
	std::forward_list<std::unique_ptr<Circle>> circles;
	std::deque<std::function<void()>> tasks;
	std::deque<bool> flags;
	std::vector<bool> bits;
	std::vector<std::filesystem::path> paths;
	std::vector<std::unique_ptr<std::stringstream>> streams;
	std::vector<std::wstring> wide;
	std::vector<std::u32string> points;
	void *context = nullptr;
	void (*callback)(void *) = nullptr;
};

std::mutex lock;
std::condition_variable wake;
bool done;
thread_local std::vector<std::string> *mine;

void work(std::vector<std::string> words, std::shared_ptr<Order> order)
{
	mine = new std::vector<std::string>(words);
	std::unique_lock<std::mutex> guard(lock);
	wake.wait(guard, [&] { return done; });
	order->number++;
	delete mine;
}

} // namespace shop

using namespace shop;

int main()
{
	Pool pool;
	const int n = 3000;
	for (int i = 0; i < n; i++) {
		std::string text = "a text of more than sixteen characters " + std::to_string(i);
		pool.shapes.push_back(std::make_unique<Circle>());
		auto *sign = new Sign;
		pool.named.push_back(sign);
		auto *both = new Both;
		if (i % 2)
			pool.roots.push_back(both);
		else
			pool.logged.push_back(both);
		pool.calls.push_back([i](int x) { return x + i; });
		pool.calls.push_back([i, text](int x) { return x + i + (int)text.size(); });
		pool.calls.push_back([item = std::make_shared<Item>(Item{ text, 1, 2 }), a = (long)i, b = 3l](int x) { return x + item->count + (int)(a + b); });
		pool.anything.push_back(std::string(text));
		pool.anything.push_back(Item{ text, 2, i });
		pool.anything.push_back(i);
		pool.anything.push_back(std::vector<Item>{ { text, 1, 1 }, { text, 2, 2 } });
		pool.opaque.push_back(std::make_shared<Item>(Item{ text, 3, i }));
		pool.opaque.push_back(std::shared_ptr<void>(new Order{ i, {}, nullptr }, [text](void *p) { delete (Order *)p; }));
		pool.orders.push_back(std::shared_ptr<Order>(new Order{ i, { { text, 4, i } }, nullptr }));
		pool.watched.push_back(pool.orders.back());
		if (i % 3 == 0)
			pool.choices.push_back(std::make_unique<Order>());
		else if (i % 3 == 1)
			pool.choices.push_back(text);
		else
			pool.choices.push_back(new Item{ text, 5, i });
		pool.perhaps.push_back(std::make_unique<Item>(Item{ text, 6, i }));
		if (i % 4 == 0) {
			pool.generators.push_back(count(text, (Item *)std::any_cast<Item>(&pool.anything[4 * i + 1])));
			pool.generators.back().handle.resume();
			pool.promises.emplace_back();
			pool.futures.push_back(pool.promises.back().get_future());
			if (i % 8)
				pool.promises.back().set_value(Item{ text, 7, i });
			pool.streams.push_back(std::make_unique<std::stringstream>(text));
			pool.paths.push_back("/usr/share/shop/" + text);
			pool.wide.push_back(std::wstring(text.begin(), text.end()));
			pool.points.push_back(std::u32string(text.begin(), text.end()));
		}
		pool.nested[text][i] = text;
		auto &table = pool.tables[i % 100];
		if (!table)
			table = std::make_unique<Table<std::string, std::vector<long>>>();
		table->add(text, { 1, 2, i });
		pool.by_name.insert({ text, Item{ text, 8, i } });
		pool.pairs.insert({ i, text });
		if (i % 2)
			pool.queue.push_back(Item{ text, 9, i });
		else
			pool.queue.push_back(Order{ i, {}, nullptr });
		pool.circles.push_front(std::make_unique<Circle>());
		pool.tasks.push_back([text, i, &pool] { pool.flags[i] = !text.empty(); });
		pool.flags.push_back(true);
		pool.bits.push_back(true);
	}
	pool.context = new Settings{};
	pool.callback = [](void *p) { delete (Settings *)p; };
	for (int i = 0; i < 8; i++)
		pool.threads.emplace_back(work, std::vector<std::string>{ "one", "a word of many characters, no less" }, pool.orders[i]);
	auto later = std::async(std::launch::deferred, [order = pool.orders[0]] { return order->number; });
	puts("ready");
	fflush(stdout);
	char byte;
	if (read(0, &byte, 1) < 0)
		return 1;
	{
		std::lock_guard<std::mutex> guard(lock);
		done = true;
	}
	wake.notify_all();
	for (auto &t : pool.threads)
		t.join();
	pool.callback(pool.context);
	printf("%d %d\n", later.get(), pool.calls[5](1));
}
