// A document of nlohmann's JSON: values that are a union of pointers, in maps and vectors; and a shop that keeps some of them.
#include <nlohmann/json.hpp>

#include <cstdio>
#include <memory>
#include <string>
#include <unistd.h>
#include <unordered_map>
#include <vector>

using nlohmann::json;

struct Order { int id; std::vector<json> lines; std::shared_ptr<Order> before; };
class Shop {
public:
	virtual ~Shop() = default;
	void add(int id, const json &user)
	{
		auto order = std::make_shared<Order>();
		order->id = id;
		order->before = last;
		for (const auto &tag : user["tags"])
			order->lines.push_back(tag);
		orders[user["name"]] = last = order;
	}
	size_t size() const { return orders.size(); }

private:
	std::unordered_map<std::string, std::shared_ptr<Order>> orders;
	std::shared_ptr<Order> last;
};

int main()
{
	json document;
	auto shop = std::make_unique<Shop>();
	for (int i = 0; i < 8000; i++) {
		json user = { { "name", "user number " + std::to_string(i) }, { "id", i }, { "ratio", i / 3.0 }, { "old", i % 2 == 0 }, { "tags", json::array() } };
		for (int k = 0; k < i % 4; k++)
			user["tags"].push_back("a tag of more than fifteen letters");
		if (i % 10 == 0)
			user["blob"] = json::binary({ 1, 2, 3 });
		document["users"].push_back(user);
		if (i % 5 == 0)
			shop->add(i, user);
	}
	json copy = json::parse(document.dump());
	puts("ready");
	fflush(stdout);
	char byte;
	if (read(0, &byte, 1) < 0)
		return 1;
	printf("%zu %zu\n", copy.size(), shop->size());
}
