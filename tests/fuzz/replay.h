/* Put in front of a fuzz entry by the Makefile (-include): a main that runs it over each file of CORPUS, and over each file
 * cut short and with single bytes changed, without libFuzzer. Speaks as libcheck does, so that run-tests.sh can count it. */
#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* From a buffer of just this size, so that the sanitizer build sees a read behind its end. */
static void replay_bytes(const uint8_t *bytes, size_t n)
{
	uint8_t *exact = malloc(n ? n : 1);

	if (!exact)
		abort();
	memcpy(exact, bytes, n);
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
}

static void replay_damaged(uint8_t *bytes, size_t n)
{
	size_t step = n / 64 + 1;

	replay_bytes(bytes, n);
	for (size_t i = 0; i < n; i += step) {
		uint8_t kept = bytes[i];

		replay_bytes(bytes, i);
		bytes[i] = kept ^ 0xff;
		replay_bytes(bytes, n);
		bytes[i] = kept;
	}
}

static int replay_file(const char *path)
{
	enum { MOST = 1 << 22 };
	FILE *f = fopen(path, "rb");
	uint8_t *bytes = malloc(MOST);

	if (!f || !bytes) {
		fprintf(stderr, "cannot read %s\n", path);
		return 1;
	}
	replay_damaged(bytes, fread(bytes, 1, MOST, f));
	fclose(f);
	free(bytes);
	return 0;
}

int main(void)
{
	DIR *d = opendir(CORPUS);
	struct dirent *e;
	int files = 0, failed = 0;

	while (d && (e = readdir(d))) {
		char path[PATH_MAX];

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "%s/%s", CORPUS, e->d_name);
		files++;
		failed += replay_file(path);
	}
	if (d)
		closedir(d);
	if (!files) {
		fprintf(stderr, "no files in %s\n", CORPUS);
		files = failed = 1;
	}
	printf("%d%%: Checks: %d, Failures: %d, Errors: 0\n", 100 * (files - failed) / files, files, failed);
	return failed != 0;
}
