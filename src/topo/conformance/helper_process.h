#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace vitrail::topo::conformance {

// One run of the helper program (store_helper.cc); killed at the end.
class Helper {
 public:
  explicit Helper(std::vector<std::string> args);
  ~Helper();
  Helper(const Helper&) = delete;
  Helper& operator=(const Helper&) = delete;

  // The next line of output; "" at its end, or when nothing comes for 20 s.
  std::string line();
  void say(const std::string& line);
  void close_input();
  void signal(int number);
  // Its exit code, or minus the signal that ended it.
  int wait();

 private:
  pid_t pid_ = -1;
  int to_ = -1;
  int from_ = -1;
  std::string buffered_;
};

}  // namespace vitrail::topo::conformance
