dist_man_MANS = %D%/ocf.1 %D%/ocf-cap.7 %D%/ocf-protocol.7 %D%/ocf-sync.1 %D%/ocf-worker.1 %D%/ocf.conf.5 %D%/ocfd.8
