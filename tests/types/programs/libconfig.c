/* A configuration of libconfig's: groups, lists, arrays and settings of each type, read and made. */
#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static config_t config;

int main(void)
{
	char *text = NULL, name[64], byte;
	size_t n;
	FILE *f = open_memstream(&text, &n);
	for (int i = 0; i < 6000; i++)
		fprintf(f, "user%d = { name = \"user number %d\"; id = %d; ratio = %d.5; tags = [\"a\", \"b\", \"c%d\"]; mixed = (1, 2.0, {deep = true;}); };\n", i, i, i, i, i);
	fclose(f);
	config_init(&config);
	if (!config_read_string(&config, text))
		return 1;
	config_setting_t *root = config_root_setting(&config), *made = config_setting_add(root, "made", CONFIG_TYPE_GROUP);
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof name, "setting%d", i);
		config_setting_set_int64(config_setting_add(made, name, CONFIG_TYPE_INT64), i);
	}
	free(text);
	puts("ready");
	fflush(stdout);
	if (read(0, &byte, 1) < 0)
		return 1;
	config_destroy(&config);
	return 0;
}
