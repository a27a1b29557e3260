# Objects, arrays, numbers and texts, kept while an input is waited for.
def user($i): { name: "user number \($i)", id: $i, ratio: ($i / 3), tags: [range($i % 4) | "tag \(.)"], nested: { deep: { deeper: [$i, null, true] } } };
[range(8000) | user(.)] as $users
| (reduce $users[] as $u ({}; .["key \($u.id % 500)"] += [$u.id])) as $index
| [range(300) | tostring | test("1")?] as $tests
| "ready", (try input catch .), ($users | length), ($index | length), ($tests | length)
