#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace vitrail::base {

// Lets this process have as many files and sockets open as the system allows it (RLIMIT_NOFILE): shells start programs
// with few, and every client takes one.
void raise_descriptor_limit();

struct SpawnOptions {
  std::vector<std::string> argv;         // argv[0] is looked up in PATH when it has no slash.
  std::vector<std::string> environment;  // "NAME=value"; replaces or adds to the environment of this process.
  std::string directory;                 // Working directory; empty: as this process.
  std::string stdout_path;               // Appended to; empty: as this process. "/dev/null" to discard.
  std::string stderr_path;               // May equal stdout_path.
  bool new_session = false;              // Detach from our terminal and signals: for servers that outlive us.
};

// How a child ended: its exit code, or the signal that ended it.
struct ExitStatus {
  int code = 0;
  int signal = 0;
  bool success() const { return code == 0 && signal == 0; }
  std::string to_string() const;  // "exit code 3", "signal 9"
};

// A child process.
//
//   Owns    : the right to collect its exit status. Move-only. The destructor neither kills nor waits; a child that is
//             not waited for stays a zombie until this process ends.
//   Threads : one thread at a time.
//   Files   : the child inherits stdin as /dev/null, stdout and stderr as in the options, and nothing else.
class ChildProcess {
 public:
  // kNotFound or kPermissionDenied when the program or the directory cannot be used.
  static Result<ChildProcess> spawn(const SpawnOptions& options);

  ChildProcess(ChildProcess&&) noexcept;
  ChildProcess& operator=(ChildProcess&&) noexcept;
  ~ChildProcess();

  pid_t pid() const { return pid_; }
  // Waits until it ends. kDeadlineExceeded: still running, may be waited for again. Repeats the answer once ended.
  Result<ExitStatus> wait(Duration wait_max);
  // Without waiting; nothing while it runs.
  Result<std::optional<ExitStatus>> poll();
  // Sends `signal`. Success when the process has already ended.
  Status kill(int signal);
  // SIGTERM, then SIGKILL after `grace`; waits for the end.
  Result<ExitStatus> stop(Duration grace);

 private:
  explicit ChildProcess(pid_t pid, int pidfd) : pid_(pid), pidfd_(pidfd) {}
  Status collect();

  pid_t pid_ = -1;
  int pidfd_ = -1;
  std::optional<ExitStatus> ended_;
};

// Runs a program to its end and returns what it wrote to stdout and stderr together (at most `output_max` bytes are
// kept). A non-zero exit is not an Error. Killed at the deadline: kDeadlineExceeded.
struct ProgramOutput {
  ExitStatus exit;
  std::string output;
};
Result<ProgramOutput> run_program(const SpawnOptions& options, Duration wait_max, size_t output_max = 1 << 20);

// Whether a process with this id exists and is not a zombie. Process ids are reused: compare more before you kill.
bool is_process_alive(pid_t pid);

// Sends a signal to any process. kNotFound when there is none.
Status kill_process(pid_t pid, int signal);

}  // namespace vitrail::base
