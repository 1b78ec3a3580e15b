#pragma once

#include <string>
#include <vector>

#include "backup/part_io.h"
#include "base/result.h"

namespace vitrail::backup {

// A program that copies a server's data, or brings it back.
struct Copier {
  std::vector<std::string> argv;
  std::string password;  // Of the account it logs in with; empty: none is asked for.
  std::string output;    // File that gets what it says.
  std::string package;   // That has the program, for who lacks it.
};

// Runs it to its end.
//   kNotFound: it is not installed.   kInternal: it failed, with the end of what it said.   kCanceled: `progress` says
//   stop; nothing of it runs any more.
Status run_copier(const Copier& copier, Progress& progress);

}  // namespace vitrail::backup
