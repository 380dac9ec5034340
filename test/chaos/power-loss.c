/* See power-loss.ts. Before a file below POWER_LOSS_HOME is written, its old bytes go to "<file>.unsynced"; a completed
 * fsync or fdatasync empties that. Record: offset, size of the file before, number of bytes written, number of old bytes
 * kept (four uint64 in the machine's order), the old bytes. Preload with LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int ends(const char *text, const char *end) {
  size_t a = strlen(text), b = strlen(end);
  return a >= b && strcmp(text + a - b, end) == 0;
}

static int below_home(const char *path) {
  const char *home = getenv("POWER_LOSS_HOME");
  size_t n = home ? strlen(home) : 0;
  return n > 0 && strncmp(path, home, n) == 0 && path[n] == '/' && !ends(path, ".unsynced") && !ends(path, "-shm");
}

/* The log beside the file that fd is open on, or 0 if the file is none of ours. */
static int log_of(int fd, char *log, char *self) {
  char path[PATH_MAX];
  struct stat about;
  sprintf(self, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(self, path, sizeof path - 16);
  if (n <= 0 || path[0] != '/') return 0;
  path[n] = 0;
  if (!below_home(path) || fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) return 0;
  sprintf(log, "%s.unsynced", path);
  return 1;
}

static void remember(int fd, int64_t offset, uint64_t length) {
  char log[PATH_MAX + 16], self[64];
  struct stat about;
  int before = errno;
  if (log_of(fd, log, self) && fstat(fd, &about) == 0) {
    uint64_t size = (uint64_t)about.st_size;
    if (offset < 0) offset = (fcntl(fd, F_GETFL) & O_APPEND) ? (int64_t)size : (int64_t)lseek(fd, 0, SEEK_CUR);
    uint64_t kept = (uint64_t)offset >= size ? 0 : size - (uint64_t)offset < length ? size - (uint64_t)offset : length;
    char *record = malloc(32 + kept);
    uint64_t head[4] = {(uint64_t)offset, size, length, kept};
    memcpy(record, head, 32);
    int source = open(self, O_RDONLY | O_CLOEXEC);
    if (kept > 0 && pread(source, record + 32, kept, offset) != (ssize_t)kept) abort();
    close(source);
    pthread_mutex_lock(&lock);
    int target = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (REAL(write)(target, record, 32 + kept) != (ssize_t)(32 + kept)) abort();
    close(target);
    pthread_mutex_unlock(&lock);
    free(record);
  }
  errno = before;
}

static void forget(int fd) {
  char log[PATH_MAX + 16], self[64];
  int before = errno;
  if (log_of(fd, log, self)) truncate(log, 0);
  errno = before;
}

static uint64_t total(const struct iovec *parts, int count) {
  uint64_t sum = 0;
  for (int i = 0; i < count; i++) sum += parts[i].iov_len;
  return sum;
}

ssize_t write(int fd, const void *bytes, size_t n) { if (fd > 2) remember(fd, -1, n); return REAL(write)(fd, bytes, n); }
ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at) { remember(fd, at, n); return REAL(pwrite)(fd, bytes, n, at); }
ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at) { remember(fd, at, n); return REAL(pwrite64)(fd, bytes, n, at); }
ssize_t writev(int fd, const struct iovec *parts, int n) { if (fd > 2) remember(fd, -1, total(parts, n)); return REAL(writev)(fd, parts, n); }
ssize_t pwritev(int fd, const struct iovec *parts, int n, off_t at) { remember(fd, at, total(parts, n)); return REAL(pwritev)(fd, parts, n, at); }
ssize_t pwritev64(int fd, const struct iovec *parts, int n, off64_t at) { remember(fd, at, total(parts, n)); return REAL(pwritev64)(fd, parts, n, at); }

/* A cut is a write of nothing over the tail. */
static void remember_cut(int fd, int64_t size) {
  struct stat about;
  if (fstat(fd, &about) == 0 && about.st_size > size) remember(fd, size, (uint64_t)(about.st_size - size));
}
int ftruncate(int fd, off_t size) { remember_cut(fd, size); return REAL(ftruncate)(fd, size); }
int ftruncate64(int fd, off64_t size) { remember_cut(fd, size); return REAL(ftruncate64)(fd, size); }

int fsync(int fd) { int done = REAL(fsync)(fd); if (done == 0) forget(fd); return done; }
int fdatasync(int fd) { int done = REAL(fdatasync)(fd); if (done == 0) forget(fd); return done; }

/* What is unsynced belongs to the file, not to its name. */
int rename(const char *from, const char *to) {
  int done = REAL(rename)(from, to);
  if (done == 0 && below_home(to)) {
    char a[PATH_MAX + 16], b[PATH_MAX + 16];
    snprintf(a, sizeof a, "%s.unsynced", from);
    snprintf(b, sizeof b, "%s.unsynced", to);
    if (REAL(rename)(a, b) != 0) unlink(b);
    errno = 0;
  }
  return done;
}

int unlink(const char *path) {
  int done = REAL(unlink)(path);
  if (done == 0 && below_home(path)) {
    char log[PATH_MAX + 16];
    snprintf(log, sizeof log, "%s.unsynced", path);
    REAL(unlink)(log);
    errno = 0;
  }
  return done;
}
