/*
 * descendants.h - the end of all that a subreaper has under it.
 */
#ifndef CLI_DESCENDANTS_H
#define CLI_DESCENDANTS_H

/*
 * SIGKILL for every child of this process, and for those that become its children by it, until it
 * has none. Only for a subreaper with no other children.
 */
void descendants_kill(void);

#endif
