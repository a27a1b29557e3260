# What gdb says of types, as JSON: gdb -batch -x layouts.py PROGRAM, with the names in $TYPES, one a line.
import gdb, json, os

def fields(t):
    for f in t.fields():
        if hasattr(f, "bitpos"):
            yield {"name": f.name, "base": f.is_base_class, "bit": f.bitpos, "bits": f.bitsize, "bytes": f.type.sizeof}

out = []
for name in os.environ["TYPES"].split("\n"):
    t = gdb.lookup_type(name).strip_typedefs()
    out.append({"type": name, "size": t.sizeof, "fields": list(fields(t))})
print(json.dumps(out))
