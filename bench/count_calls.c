// Preloaded into a program by `./dev bench route --count`: counts its allocations and the system calls of its event
// loops in a file that the benchmark reads (tools/vitrail/counting.py). Only what goes through libc's functions counts.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

// In the order in which counting.py names them.
enum { kAllocations, kAllocatedBytes, kRecv, kPeek, kSend, kEpollWait, kEpollCtl, kRead, kWrite, kCounters };

static _Atomic uint64_t unmapped[kCounters];
static _Atomic uint64_t* counters = unmapped;

static void add(int counter, uint64_t amount) {
  atomic_fetch_add_explicit(&counters[counter], amount, memory_order_relaxed);
}

__attribute__((constructor)) static void start(void) {
  const char* path = getenv("VITRAIL_COUNT_FILE");
  if (path == NULL) return;
  const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || ftruncate(fd, sizeof unmapped) != 0) abort();
  void* map = mmap(NULL, sizeof unmapped, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (map == MAP_FAILED) abort();
  counters = map;
  close(fd);
}

extern void* __libc_malloc(size_t);
extern void* __libc_calloc(size_t, size_t);
extern void* __libc_realloc(void*, size_t);
extern void* __libc_memalign(size_t, size_t);

static void count_allocation(size_t size) {
  add(kAllocations, 1);
  add(kAllocatedBytes, size);
}

void* malloc(size_t size) {
  count_allocation(size);
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
  count_allocation(count * size);
  return __libc_calloc(count, size);
}
void* realloc(void* old, size_t size) {
  count_allocation(size);
  return __libc_realloc(old, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
  count_allocation(size);
  return __libc_memalign(alignment, size);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FORWARD(name, ...)                     \
  static __typeof__(&name) next;               \
  if (next == NULL) next = NEXT(name);         \
  return next(__VA_ARGS__)

ssize_t recv(int fd, void* data, size_t size, int flags) {
  add(flags & MSG_PEEK ? kPeek : kRecv, 1);
  FORWARD(recv, fd, data, size, flags);
}
ssize_t send(int fd, const void* data, size_t size, int flags) {
  add(kSend, 1);
  FORWARD(send, fd, data, size, flags);
}
int epoll_wait(int fd, struct epoll_event* events, int max, int timeout) {
  add(kEpollWait, 1);
  FORWARD(epoll_wait, fd, events, max, timeout);
}
int epoll_ctl(int fd, int operation, int target, struct epoll_event* event) {
  add(kEpollCtl, 1);
  FORWARD(epoll_ctl, fd, operation, target, event);
}
ssize_t read(int fd, void* data, size_t size) {
  add(kRead, 1);
  FORWARD(read, fd, data, size);
}
ssize_t write(int fd, const void* data, size_t size) {
  add(kWrite, 1);
  FORWARD(write, fd, data, size);
}
