/*
 * data_folder.h - where a master lives: its folder (0700) and the sockets in it.
 */
#ifndef MASTER_IO_DATA_FOLDER_H
#define MASTER_IO_DATA_FOLDER_H

#include "common/error.h"

struct data_folder {
    char *path;
    char *blobs;                   /* where local workers read bundles */
    char *control, *worker, *bulk; /* endpoints, ipc://… */
};

/*
 * Checks the folder before anything is touched: its path is short enough for sockets; where it
 * exists, it is a folder that is empty or a master's own.
 */
int data_folder_init(struct data_folder *folder, const char *path, struct error *error);
void data_folder_fini(struct data_folder *folder);
/* Nobody else may enter. Once the folder is locked. */
int data_folder_close(const struct data_folder *folder, struct error *error);

#endif
