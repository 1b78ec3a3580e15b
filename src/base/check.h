#pragma once

// CHECK(condition) << nothing: a broken invariant of our own stops the process, in every build. Never use it on input
// from outside (clients, servers, files, topology): that gets an Error.
namespace vitrail::base {
[[noreturn]] void check_failed(const char* file, int line, const char* condition);
}  // namespace vitrail::base

#define CHECK(condition)                                                             \
  do {                                                                               \
    if (!(condition)) ::vitrail::base::check_failed(__FILE__, __LINE__, #condition); \
  } while (false)
