// SPDX-License-Identifier: BSL-1.0
extern int answers;
int answer();

int answers = 0;  // one per level
int answer() { return ++answers; }
