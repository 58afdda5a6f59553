/*
 * upload.h - content on its way to a master on another host: what a bundle is made of (a sink of
 * common/dag/bundle_make.h), offered by hash, and sent where the master lacks it, under its credit.
 */
#ifndef CLI_UPLOAD_H
#define CLI_UPLOAD_H

#include "cli/client.h"
#include "common/dag/bundle_make.h"

struct upload;

/* `folder` is where the files lie that the sink is given; borrowed. */
struct upload *upload_create(const char *folder);
void upload_destroy(struct upload *upload);
struct bundle_sink upload_sink(struct upload *upload);
/* Content that the sink took as bytes (the manifest), or nothing; borrowed. */
struct slice upload_bytes(const struct upload *upload, const struct hash *hash);

/*
 * Returns 0 when the master has kept all of it. What takes long is shown on stderr. A file that
 * has changed since the sink took it is ERR_AGAIN. CLIENT_INTERRUPTED, CLIENT_BROKEN as
 * client_receive.
 */
int upload_run(struct upload *upload, struct client *client, struct error *error);

#endif
