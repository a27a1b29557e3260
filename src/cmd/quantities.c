/* Times, rates and parts as people write them. */
#include "cmd.h"

/* "90", "90s", "5m", "2h", "1d" as seconds. */
struct err *cmd_duration(const char *option, const char *value, double *ret)
{
	static const struct { char letter; double seconds; } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	char *end;
	*ret = strtod(value, &end);
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
		if (*end == units[i].letter && !end[1]) {
			*ret *= units[i].seconds;
			end++;
		}
	if (end == value || *end || !(*ret > 0) || *ret > 1e9)
		return err_new(ERR_USAGE, "--%s takes a time such as 30s, 5m or 2h, not '%s'", option, value);
	return NULL;
}

/* "50MB/h", "1MiB/s": bytes a second. Kilo is 1000, kibi 1024. */
struct err *cmd_growth(const char *value, double *ret)
{
	static const struct { const char *name; double factor; } sizes[] = { { "B", 1 }, { "kB", 1e3 }, { "MB", 1e6 }, { "GB", 1e9 },
									     { "KiB", 0x1p10 }, { "MiB", 0x1p20 }, { "GiB", 0x1p30 } };
	static const struct { const char *name; double seconds; } times[] = { { "/s", 1 }, { "/m", 60 }, { "/h", 3600 }, { "/d", 86400 } };
	char *end;
	double n = strtod(value, &end);
	size_t k = strcspn(end, "/");
	for (size_t i = 0; end != value && n > 0 && i < sizeof sizes / sizeof sizes[0]; i++)
		for (size_t t = 0; t < sizeof times / sizeof times[0]; t++)
			if (strlen(sizes[i].name) == k && !strncmp(end, sizes[i].name, k) && !strcmp(end + k, times[t].name)) {
				*ret = n * sizes[i].factor / times[t].seconds;
				return NULL;
			}
	return err_new(ERR_USAGE, "--growth takes a rate such as 50MB/h, not '%s'", value);
}

struct err *cmd_percent(const char *value, double *ret)
{
	char *end;
	*ret = strtod(value, &end) / 100;
	if (end == value || (*end && strcmp(end, "%")) || !(*ret > 0) || *ret > 1)
		return err_new(ERR_USAGE, "--level takes a part of the limit such as 80%%, not '%s'", value);
	return NULL;
}
